"""Every view in a browser, against a real server: clicks, keyboard, phone, colour schemes, and accessibility (axe)."""

import re
import time
import uuid
from contextlib import contextmanager, suppress

import pytest
from page_shop import painted

from palate.serving.page.cookies import user_cookie

VIEWS = ("/", "/users", "/search", "/search?q=lamp", "/add", "/compare", "/dashboard", "/item/{}", "/item/{}?explain=1")
VIEWS += ("/item/nope", "/edit?item={}", "/search?similar_to={}", "/?is.category=nothing")


@contextmanager
def opened(browser, served, user=None, **settings):
    """A page of a new browser context; its errors are in ``page.errors``."""
    context = browser.new_context(base_url=served.url, reduced_motion="reduce", **settings)
    context.set_default_timeout(10_000)
    if user:
        value = user_cookie(served.service.secret, user)
        context.add_cookies([{"name": "palate_user", "value": value, "url": served.url}])
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
    yield page
    # a response with an error status is logged as an error, too
    assert not [fault for fault in page.errors if "status of 4" not in fault]
    context.close()


@pytest.fixture
def desk(browser, served, fitted):
    with opened(browser, served, fitted.user, viewport={"width": 1280, "height": 900}) as page:
        yield page


@pytest.fixture
def visitor(browser, served):
    with opened(browser, served, viewport={"width": 1280, "height": 900}) as page:
        yield page


def eventually(page, truth, seconds=15.0):
    """Wait until an expression, or what is called, holds; asked from outside, for pages allow no eval."""
    from playwright.sync_api import Error

    until = time.monotonic() + seconds
    while True:
        # a page may be on its way to the next
        with suppress(Error):
            if truth() if callable(truth) else page.evaluate(truth):
                return
        assert time.monotonic() < until, truth
        time.sleep(0.02)


def shown(page, row="for-you"):
    return page.locator(f"[data-row={row}] .card").evaluate_all("all => all.map(one => one.dataset.item)")


def settled(page):
    eventually(page, "document.querySelector('#rows').getAttribute('aria-busy') === 'false'")


def test_selecting_a_user_and_another(visitor, fitted):
    visitor.goto("/")
    visitor.get_by_label("Your name").fill("Ada")
    visitor.get_by_role("button", name="Start").click()
    eventually(visitor, lambda: "Hello, Ada" in visitor.locator("h1").inner_text())
    visitor.get_by_role("link", name="Current user: Ada. Change").click()
    visitor.get_by_label("Find a user").press_sequentially(fitted.user)
    eventually(visitor, "document.querySelectorAll('#options .user-option').length === 1")
    visitor.locator("#options .user-option").click()
    eventually(visitor, lambda: fitted.user in visitor.locator("h1").inner_text() and shown(visitor))
    visitor.goto("/users")
    visitor.get_by_role("button", name="Continue without a user").click()
    first = visitor.get_by_role("heading", level=1)
    eventually(visitor, lambda: first.inner_text() == "Things you will like, and why.")


def test_liking_and_hiding(visitor, served):
    visitor.goto("/")
    before = shown(visitor)
    first = visitor.locator("[data-row=for-you] .card").first
    first.locator(".like").click()
    eventually(visitor, "document.querySelector('#toast').textContent.startsWith('Liked')")
    assert first.locator(".like").get_attribute("aria-pressed") == "true"
    second = visitor.locator(f"[data-item='{before[1]}']").first
    second.hover()
    second.locator(".hide").click()
    eventually(visitor, f"!document.querySelector('[data-row=for-you] [data-item=\"{before[1]}\"]')")
    visitor.get_by_role("button", name="Update my lists").click()
    eventually(visitor, "document.querySelector('#row-for-you').textContent === 'For you'")
    assert before[0] not in shown(visitor) and before[1] not in shown(visitor)
    names = [user for user in served.service.events.recent_users() if user.startswith("guest-")]
    assert {(e.item, e.kind) for e in served.service.events.for_user(names[0])} == {
        (before[0], "like"),
        (before[1], "hide"),
    }


def test_a_like_and_a_hide_are_undone(visitor, served):
    visitor.goto("/")
    before = shown(visitor)
    heart = visitor.locator(f"[data-item='{before[0]}'] .like").first
    for said, pressed in (("Liked", "true"), ("No longer liked", "false")):
        heart.click()
        eventually(visitor, f"document.querySelector('#toast').textContent.startsWith('{said}')")
        assert heart.get_attribute("aria-pressed") == pressed
    hidden = f"[data-row=for-you] [data-item='{before[1]}']"
    visitor.locator(hidden).hover()
    visitor.locator(f"{hidden} .hide").click()
    eventually(visitor, f'!document.querySelector("{hidden}")')
    visitor.get_by_role("button", name="Undo").click()
    eventually(visitor, f'document.querySelector("{hidden}")')
    eventually(visitor, "document.querySelector('#toast').textContent.startsWith('Undone')")
    assert shown(visitor) == before, "it is back where it was"
    user = next(user for user in served.service.events.recent_users() if user.startswith("guest-"))
    state = served.service.user_state(served.service.snapshot, user, None)
    assert not len(state.history) and not len(state.hidden)


def test_a_failed_like_is_reverted(desk):
    desk.goto("/")
    desk.route("**/feedback", lambda route: route.abort())
    like = desk.locator("[data-row=for-you] .like").first
    like.click()
    eventually(desk, "document.querySelector('#toast').classList.contains('on')")
    assert like.get_attribute("aria-pressed") == "false"
    desk.errors.clear()


def test_sliders_and_filters_act_at_once_and_change_the_address(desk, browser, served, fitted):
    desk.goto("/")
    desk.evaluate("window.same = true")
    before = shown(desk)
    desk.get_by_label("Diversity").fill("1")
    desk.wait_for_url("**/?diversity=1")
    eventually(desk, lambda: shown(desk) != before)
    settled(desk)
    tuned = shown(desk)
    assert tuned != before and desk.evaluate("window.same")
    assert desk.locator("output[for=diversity]").inner_text() == "100 %"
    desk.get_by_text("Filters").click()
    desk.locator(".chip").first.click()
    desk.wait_for_url("**is.category=**")
    eventually(desk, lambda: shown(desk) != tuned)
    settled(desk)
    narrowed = shown(desk)
    assert narrowed != tuned and desk.evaluate("window.same")
    desk.reload()
    assert shown(desk) == narrowed and desk.locator(".chip input").first.is_checked()
    desk.get_by_role("link", name="Reset").click()
    eventually(desk, lambda: shown(desk) == before)


def test_searching_by_text_and_by_image(desk, fitted, served):
    desk.goto("/")
    desk.get_by_role("link", name="Search").click()
    desk.get_by_role("searchbox").fill("lamp")
    desk.get_by_role("searchbox").press("Enter")
    desk.wait_for_url("**/search?q=lamp**")
    eventually(desk, lambda: desk.locator(".card").count() > 0)
    assert "lamp" in desk.locator(".card .title").first.inner_text().lower()
    address = desk.locator(f"img[src^='/image/{fitted.plain}']").first
    own = desk.request.get(address.get_attribute("src") if address.count() else f"/image/{fitted.plain}").body()
    desk.locator("input[type=file]").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": own})
    desk.get_by_role("heading", name="Like this image").wait_for()
    assert desk.locator(".card").first.get_attribute("data-item") == fitted.plain


def test_dropping_an_image(desk):
    desk.goto("/search")
    desk.evaluate(
        """async (bytes) => {
            const list = new DataTransfer()
            list.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}))
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: list, bubbles: true}))
        }""",
        list(painted()),
    )
    desk.get_by_role("heading", name="Like this image").wait_for()
    eventually(desk, lambda: desk.locator(".card").count() == 24)


def test_from_a_card_to_its_explanation_and_similar_items(desk):
    desk.goto("/")
    title = desk.locator("[data-row=for-you] .title a").first
    words = title.inner_text()
    title.click()
    eventually(desk, lambda: desk.locator("h1").inner_text() == words)
    desk.get_by_role("heading", name="Items you liked").wait_for()
    assert (
        desk.locator(".explanation .bars li").count() >= 2
        and "%" in desk.locator(".explanation .value").first.inner_text()
    )
    eventually(desk, lambda: desk.locator(".rail .card").count() >= 6)
    desk.get_by_role("link", name="More like this").click()
    eventually(desk, lambda: desk.locator(".card").count() == 24)
    assert "Similar to " in desk.locator("h1").inner_text()


def test_adding_an_item_and_seeing_it_recommended(desk):
    name = f"Novel lamp {uuid.uuid4().hex[:6]}"
    desk.goto("/add")
    desk.get_by_label("Title").fill(name)
    desk.locator("[name='field.category']").fill("lighting")
    desk.get_by_label("Price").fill("42")
    desk.locator("input[type=file]").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": painted()})
    desk.get_by_alt_text("The chosen image").wait_for()
    desk.get_by_role("button", name="Add item").click()
    desk.get_by_role("heading", name="The item was added and can be recommended now").wait_for()
    assert re.search(r"number \d+ in New here", desk.locator(".positions").inner_text())
    eventually(desk, lambda: desk.locator("h1").inner_text() == name)
    eventually(desk, lambda: desk.locator(".large img").evaluate("image => image.complete && image.naturalWidth") >= 40)
    desk.goto("/")
    assert name in desk.locator("main").inner_text()
    desk.get_by_role("link", name=name, exact=True).first.click()
    desk.get_by_role("link", name="Edit").click()
    desk.get_by_label("Price").fill("43")
    desk.get_by_role("button", name="Save").click()
    eventually(desk, lambda: desk.locator(".price.big").inner_text() == "43.00")
    desk.get_by_text("Remove", exact=True).click()
    desk.get_by_role("button", name="Remove this item").click()
    desk.wait_for_url(lambda url: url.endswith("/"))
    eventually(desk, lambda: desk.locator(".flash").inner_text().startswith("Removed"))


def test_links_work_for_any_id(desk, served):
    name = "100% a/b?c#d é%20"
    served.service.put_items([(name, {"title": "Percent lamp", "category": "lighting"}, None)])
    desk.goto("/")
    desk.get_by_role("link", name="Percent lamp", exact=True).first.click()
    eventually(desk, lambda: desk.locator(".facts").inner_text().strip().endswith(name))
    eventually(desk, lambda: desk.locator(".large img").evaluate("image => image.complete && image.naturalWidth"))
    served.service.remove_item(name)


def test_comparing_and_the_dashboard(desk):
    desk.goto("/compare")
    assert desk.locator(".ranked").count() == 2 and desk.locator(".ranked li").count() == 20
    desk.get_by_label("Length").select_option("20")
    desk.wait_for_url("**k=20**")
    eventually(desk, lambda: desk.locator(".ranked li").count() == 40)
    desk.get_by_role("link", name="Dashboard").click()
    eventually(desk, lambda: desk.locator(".quad .panel").count() == 4)
    eventually(desk, lambda: desk.locator(".slices .panel").count() >= 4)
    desk.get_by_text("All metrics").click()
    eventually(desk, lambda: desk.get_by_role("table").is_visible())
    desk.get_by_role("link", name="Full report").click()
    eventually(desk, lambda: desk.url.endswith("/report") and desk.locator("h1").count() == 1)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_every_view_is_accessible(browser, served, fitted, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    axe, found = Axe(), []
    size = {"width": width, "height": 800}
    for user in (fitted.user, None):
        views = VIEWS if user else ("/", "/users", "/item/{}", "/compare")
        with opened(browser, served, user, viewport=size, color_scheme=scheme) as page:
            for view in views:
                page.goto(view.format(fitted.plain), wait_until="load")
                eventually(page, "!document.querySelector('[data-load][aria-busy=true]')")
                if view == "/":
                    page.get_by_text("Filters").click()
                faults = axe.run(page).response["violations"]
                found += [
                    (view, fault["id"], [node["html"][:160] for node in fault["nodes"][:3]])
                    for fault in faults
                    if fault["impact"] in ("serious", "critical")
                ]
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    found.append((view, "wider than the window", [str(wide)]))
    assert not found


def test_a_phone_shows_long_titles_without_horizontal_scroll(browser, served, fitted):
    with opened(browser, served, fitted.user, viewport={"width": 360, "height": 800}, has_touch=True) as page:
        for item in (fitted.long, fitted.rtl, fitted.hostile, fitted.bare):
            page.goto(f"/item/{item}")
            page.locator(".details .like").click()
            eventually(page, "document.querySelector('#toast').classList.contains('on')")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.goto(f"/item/{fitted.rtl}")
        assert page.locator("h1").evaluate("one => getComputedStyle(one).direction") == "rtl"
        for view in ("/", "/compare", "/search?q=lamp"):
            page.goto(view)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_first_view_is_light(browser, served, fitted):
    with opened(browser, served, fitted.user, viewport={"width": 1280, "height": 900}) as page:
        sizes = {}
        page.on("response", lambda got: sizes.update({got.url: got}))
        page.goto("/", wait_until="networkidle")
        total = sum(len(got.body()) for url, got in list(sizes.items()) if "/image/" not in url)
        assert 0 < total < 300_000
        assert all(url.startswith(served.url) for url in sizes)


def test_the_keyboard_is_sufficient(browser, served):
    with opened(browser, served, viewport={"width": 1280, "height": 900}) as page:
        page.goto("/")

        def focused():
            return page.evaluate("(one => one.getAttribute('aria-label') || one.innerText)(document.activeElement)")

        def until(words, most=60):
            for _ in range(most):
                page.keyboard.press("Tab")
                if words in (focused() or ""):
                    return
            raise AssertionError(f"{words!r} is not reached")

        page.keyboard.press("Tab")
        assert focused() == "Skip to content"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        page.keyboard.type("Keys")
        page.keyboard.press("Enter")
        eventually(page, "document.querySelector('h1').textContent.includes('Keys')")
        until("Like ")
        page.keyboard.press("Space")
        eventually(page, "document.querySelector('#toast').textContent.startsWith('Liked')")
        until("Hide ")
        gone = page.evaluate("document.activeElement.closest('.card').dataset.item")
        page.keyboard.press("Enter")
        eventually(page, f"!document.querySelector('[data-row=for-you] [data-item=\"{gone}\"]')")
        assert page.evaluate("document.activeElement.matches('.title a')")
        page.goto("/")
        page.get_by_label("Diversity").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**/?diversity=0.05")


def test_every_view_works_without_a_script(browser, served, fitted):
    with opened(browser, served, java_script_enabled=False, viewport={"width": 360, "height": 800}) as page:
        page.goto("/")
        page.get_by_label("Your name").fill("Plain")
        page.get_by_role("button", name="Start").click()
        item = page.locator(".card").first.get_attribute("data-item")
        page.locator(".card .like").first.click()
        assert page.locator(".flash").inner_text().startswith("Liked")
        eventually(page, lambda: page.locator("#row-for-you").inner_text() == "For you")
        page.get_by_label("Novelty").fill("0.8")
        page.get_by_role("button", name="Apply").click()
        eventually(page, lambda: "novelty=0.8" in page.url)
        page.goto(f"/item/{item}")
        page.goto(f"/item/{fitted.plain}")
        page.get_by_role("link", name="Show the explanation").click()
        eventually(page, lambda: page.get_by_role("heading", name="Items you liked").is_visible())
        page.goto("/search")
        page.locator("input[type=file]").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": painted()}
        )
        page.get_by_role("button", name="Search by image").click()
        eventually(page, lambda: page.locator(".card").count() == 24)


def test_a_first_like_changes_what_the_page_says_of_the_user(visitor):
    visitor.goto("/")
    visitor.evaluate("window.same = true")
    assert visitor.locator(".hero").count() == 1
    visitor.locator("[data-row=for-you] .like").first.click()
    eventually(visitor, lambda: "Hello, guest-" in visitor.locator("h1").inner_text())
    assert visitor.locator(".hero").count() == 0 and visitor.evaluate("window.same"), "without a reload"
    assert visitor.locator(".user-link .name").inner_text().startswith("guest-")
    assert visitor.get_by_text("Good start").is_visible()


@pytest.mark.parametrize("answer", [None, "not json", '{"detail": "too many requests"}'])
def test_a_request_that_fails_is_told_in_a_sentence(desk, answer):
    desk.goto("/")
    route = (lambda one: one.abort()) if answer is None else (lambda one: one.fulfill(status=429, body=answer))
    desk.route("**/feedback", route)
    desk.locator("[data-row=for-you] .like").first.click()
    eventually(desk, "document.querySelector('#toast').classList.contains('on')")
    told = desk.locator("#toast").inner_text()
    assert told in ("The server cannot be reached; please try again", "The request failed; please try again") or (
        answer and told in answer
    )
    desk.errors.clear()


def test_hiding_on_the_page_of_an_item_is_seen(desk, fitted):
    desk.goto(f"/item/{fitted.plain}")
    words = desk.locator("[data-hidden]")
    assert not words.is_visible()
    desk.locator(".details .hide").click()
    eventually(desk, words.is_visible)
    desk.get_by_role("button", name="Undo").click()
    eventually(desk, lambda: not words.is_visible())


def test_an_invalid_form_marks_its_field_and_keeps_its_image(desk):
    desk.goto("/add")
    desk.get_by_label("Title").fill("Kept lamp")
    desk.get_by_label("Price").fill("dear")
    desk.locator("input[type=file]").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": painted()})
    desk.get_by_role("button", name="Add item").click()
    desk.get_by_role("heading", name="The item was not saved").wait_for()
    assert desk.locator("[aria-invalid=true]").get_attribute("name") == "field.price"
    assert desk.locator(".field .fault").is_visible() and desk.get_by_alt_text("The chosen image").is_visible()
    desk.get_by_label("Price").fill("42")
    desk.get_by_role("button", name="Add item").click()
    desk.get_by_role("heading", name="The item was added and can be recommended now").wait_for()
    eventually(desk, lambda: desk.locator(".large img").evaluate("image => image.naturalWidth") >= 40)
    desk.errors.clear()


FITS = """(field) => {
    const style = getComputedStyle(field), ruler = document.createElement("canvas").getContext("2d")
    ruler.font = style.font
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
    return ruler.measureText(field.placeholder).width <= room + 1
}"""

LINES = """(one) => {
    const range = document.createRange()
    range.selectNodeContents(one)
    return range.getClientRects().length
}"""
GAP = """() => {
    const bottom = (one) => one.getBoundingClientRect().bottom
    const fields = [...document.querySelectorAll(".filters > *")].map(bottom)
    return bottom(document.querySelector(".tune")) - Math.max(...fields)
}"""


def test_a_phone_of_390_pixels_cuts_and_breaks_nothing(browser, served, fitted):
    size = {"width": 390, "height": 844}
    with opened(browser, served, fitted.user, viewport=size) as page:
        for view in ("/", "/search", "/compare", "/users", f"/item/{fitted.plain}", "/add"):
            page.goto(view)
            for field in page.locator("input[placeholder]:visible").all():
                assert field.evaluate(FITS), (view, field.get_attribute("placeholder"))
        page.goto("/compare")
        tenth = page.locator(".rank").nth(9)
        assert tenth.inner_text() == "10" and tenth.evaluate(LINES) == 1
        page.goto("/")
        page.get_by_text("Filters").click()
        assert page.evaluate(GAP) >= 12, "open filters keep a distance from the edge"


@pytest.mark.parametrize(("scheme", "low", "high"), [("light", 180, 256), ("dark", 0, 90)])
def test_stand_ins_suit_the_colour_scheme(browser, served, fitted, scheme, low, high):
    import io

    from PIL import Image

    with opened(browser, served, fitted.user, viewport={"width": 1280, "height": 900}, color_scheme=scheme) as page:
        page.goto(f"/item/{fitted.bare}")
        eventually(page, lambda: page.locator(".large img").evaluate("one => one.complete && one.naturalWidth"))
        shot = Image.open(io.BytesIO(page.locator(".large img").screenshot())).convert("L")
        assert low <= shot.getpixel((shot.width // 2, shot.height - 30)) < high
