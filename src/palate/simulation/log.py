"""The log: sessions, impressions under the logging policy, clicks and later events, for a block of users at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.seeding import rng_for
from palate.simulation.choice import Utility, buy_chance, cart_chance, click_chance, liking, save_chance, sigmoid
from palate.simulation.contexts import CODES, ContextModel
from palate.simulation.items import Items
from palate.simulation.policy import Policy
from palate.simulation.presets import WorldConfig
from palate.simulation.tastes import Population, Users

EVENTS = ("click", "save", "cart", "purchase")
DAY = 86_400


@dataclass(frozen=True, eq=False)
class Block:
    """Impressions, interactions and searches of one block of users, by time.

    Attributes:
        impressions: user (row in the world), item, timestamp, impression, position (0-based), propensity, clicked; with
            reading times also dwell (seconds, NaN unless clicked); of advertisements also purchased, purchase_time (0
            unless purchased) and the codes of contexts, see :data:`palate.simulation.contexts.CODES`.
        interactions: user, item, timestamp, event (code into EVENTS), dwell (seconds, NaN unless click), value
            (price paid, NaN unless purchase).
        searches: user, item, timestamp, draw (uniform, determines the words); of advertisements the codes of contexts
            instead.
        sessions: their number.
    """

    impressions: dict[str, NDArray]
    interactions: dict[str, NDArray]
    searches: dict[str, NDArray]
    sessions: int


class Log:
    """Simulator of blocks.

    Args:
        items: all items.
        population: of the users.
        config: settings of the world.
        label: of the random streams, so that another log of the same world can be drawn.
    """

    def __init__(self, items: Items, population: Population, config: WorldConfig, label: str = "log") -> None:
        self.items, self.population, self.config, self.label = items, population, config, label
        self.policy = Policy(items, config)
        self.contexts = None if config.sponsored is None else ContextModel(config, config.sponsored)
        self.sessions_per_user = 0.0
        self.sessions_per_user = self._pilot()

    def __len__(self) -> int:
        return -(-self.config.n_users // self.config.block)

    def block(self, number: int, users: Users, first_impression: int = 0) -> Block:
        """Simulate one block; the same bits whatever was drawn before it, except for the impression ids' start.

        Args:
            number: of the block.
            users: of the block.
            first_impression: id of its first impression.
        """
        return self.run(users, self.sessions_per_user, number, first_impression)

    def _pilot(self) -> float:
        # a thousand users who are in no log give the events of a session, and so the sessions that a user needs
        users = self.population.draw(0, 1000, rng_for(self.config.seed, "pilot users"))
        pilot = self.run(users, 4.0, "pilot", 0)
        rows = len(pilot.interactions["user"]) / pilot.sessions
        return self.config.interactions_per_user / max(rows * self.population.mean_activity, 1e-6)

    def run(self, users: Users, mean_sessions: float, number: int | str, first_impression: int) -> Block:
        """Simulate the sessions of users.

        Args:
            users: a block.
            mean_sessions: expected sessions of a user of mean activity over the full log.
            number: of the block, for the random stream.
            first_impression: id of the first impression.
        """
        config = self.config
        rng = rng_for(config.seed, self.label, number)
        rate = mean_sessions * users.activity.astype(np.float64) * (1 - users.join)
        visits = np.maximum(rng.poisson(rate), 1)
        user = np.repeat(np.arange(len(users)), visits)
        moment = users.join[user] + (1 - users.join[user].astype(np.float64)) * rng.random(len(user))
        stamp = config.start + np.minimum((moment * config.days * DAY).astype(np.int64), config.days * DAY - 1)
        order = np.argsort(stamp, kind="stable")
        user, stamp = user[order], stamp[order]
        context: dict[str, NDArray[np.int16]] = {}
        if self.contexts is not None:
            context = self.contexts.draw(
                users.leaf_chances(), user, stamp, rng_for(config.seed, self.label, "contexts", number)
            )
        seen = self._impressions(users, user, stamp, first_impression, context, rng)
        followed, searches = self._events(seen, rng)
        keep = np.repeat(rng.random(len(user)) < config.impression_share, config.slate)
        shift = users.first
        for table in (seen, followed, searches):
            table["user"] = table["user"] + shift
        del seen["logit"]
        if config.impression_share < 1:
            seen = {name: column[keep] for name, column in seen.items()}
        return Block(seen, followed, searches, len(user))

    def _impressions(
        self,
        users: Users,
        visitor: NDArray,
        stamp: NDArray,
        first: int,
        context: dict[str, NDArray[np.int16]],
        rng: np.random.Generator,
    ) -> dict[str, NDArray]:
        config, size = self.config, self.config.slate
        bound, utility = self.policy.bind(users), Utility(self.items, users, config)
        user, time = np.repeat(visitor, size), np.repeat(stamp, size)
        day = (time - config.start) // DAY
        position = np.tile(np.arange(size, dtype=np.int16), len(visitor))
        context = {name: np.repeat(codes, size) for name, codes in context.items()}
        wanted = context.get("wanted")
        item = bound.sample(user, day, rng, position, wanted)
        logit = utility.logit(user, item, (time - config.start) / (config.days * DAY))
        if self.contexts is not None:
            logit = logit + self.contexts.effect(self.items, item, context)
        chance = click_chance(sigmoid(logit), position, config)
        return {
            "user": user, "item": item, "timestamp": time,
            "impression": np.repeat(np.arange(first, first + len(visitor)), size), "position": position,
            "propensity": bound.propensity(user, item, day, position, wanted).astype(np.float32),
            "clicked": rng.random(len(user)) < chance, "logit": logit, **context,
        }  # fmt: skip

    def _events(
        self, seen: dict[str, NDArray], rng: np.random.Generator
    ) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        at = np.flatnonzero(seen["clicked"])
        user, item, logit = seen["user"][at], seen["item"][at], seen["logit"][at]
        click_time = seen["timestamp"][at] + 4 + 6 * seen["position"][at].astype(np.int64)
        surprise = self.items.surprise[item]
        # duration bias: an expensive item is looked at longer, liked or not, and a long article even more so
        reading, level = self.items.reading, 0.3 * liking(logit)
        level = 2.6 + level + 0.15 * surprise if reading is None else np.log(reading[item]) - 0.9 + level
        dwell = np.exp(level + rng.normal(0, 0.5, len(at))).astype(np.float32)
        saved = rng.random(len(at)) < save_chance(logit)
        carted = rng.random(len(at)) < cart_chance(logit)
        bought = carted & (rng.random(len(at)) < buy_chance(logit, surprise))
        sponsored = self.config.sponsored
        wait_for = 6 * 3600 if sponsored is None else sponsored.purchase_delay * DAY
        delay = (rng.exponential(wait_for, len(at)) + 60).astype(np.int64)
        parts = [np.arange(len(at)), *(np.flatnonzero(mask) for mask in (saved, carted, bought))]
        lag = [np.zeros(len(at), np.int64), np.full(len(at), 15), np.full(len(at), 30), 30 + delay]
        rows = np.concatenate(parts)
        event = np.repeat(np.arange(4, dtype=np.int8), [len(part) for part in parts])
        when = np.concatenate([click_time[part] + wait[part] for part, wait in zip(parts, lag)])
        missing = np.float32(np.nan)
        if reading is not None:
            seen["dwell"] = _scatter(len(seen["user"]), at, dwell, missing)
        if sponsored is not None:
            seen["purchased"] = _scatter(len(seen["user"]), at, bought, False)
            seen["purchase_time"] = _scatter(len(seen["user"]), at[bought], (click_time + 30 + delay)[bought], 0)
        order = np.argsort(when, kind="stable")
        followed = {
            "user": user[rows], "item": item[rows], "timestamp": when, "event": event,
            "dwell": np.where(event == 0, dwell[rows], missing),
            "value": np.where(event == 3, self.items.price[item[rows]], missing),
        }  # fmt: skip
        if sponsored is not None:
            asked = at[seen["query"][at] >= 0]
            names = ("user", "item", "timestamp", *CODES)
            searches = {name: seen[name][asked] for name in names}
            return {name: column[order] for name, column in followed.items()}, searches
        searched = np.flatnonzero(rng.random(len(at)) < self.config.searches)
        searches = {
            "user": user[searched], "item": item[searched], "timestamp": click_time[searched] - 20,
            "draw": rng.random(len(searched)),
        }  # fmt: skip
        return {name: column[order] for name, column in followed.items()}, searches


def _scatter(size: int, rows: NDArray[np.int64], values: NDArray, rest: object) -> NDArray:
    """``values`` in ``rows`` of an array of ``size``, ``rest`` elsewhere."""
    full = np.full(size, rest, values.dtype)
    full[rows] = values
    return full
