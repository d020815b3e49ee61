// Everything here also works without it: forms are sent, links are followed.
const root = document.documentElement
const toast = document.getElementById("toast")
let fading

root.classList.add("js")

function tell(words, action) {
  toast.replaceChildren(document.createTextNode(words))
  if (action) {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = action.name
    button.addEventListener("click", action.run)
    toast.append(button)
  }
  toast.classList.add("on")
  clearTimeout(fading)
  fading = setTimeout(() => toast.classList.remove("on"), action ? 9000 : 4000)
}

async function get(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } })
  const text = await answer.text()
  if (!answer.ok) {
    const page = new DOMParser().parseFromString(text, "text/html")
    throw new Error(page.querySelector(".lead")?.textContent || "That did not work")
  }
  return text
}

function swap(place, html) {
  const part = document.createRange().createContextualFragment(html)
  place.replaceChildren(part)
  ready(place)
}

// the fields of a form that say something, as they stand in a shared address
function asked(form) {
  const query = new URLSearchParams()
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value !== "" && !(form.elements.namedItem(name)?.type === "range" && Number(value) === 0)) query.append(name, value)
  }
  const text = query.toString()
  return text ? `?${text}` : ""
}

let turn = 0
async function refresh(form, quiet) {
  const place = document.querySelector(form.dataset.into)
  const mine = ++turn
  place.setAttribute("aria-busy", "true")
  try {
    const html = await get(form.dataset.live + asked(form))
    // an answer that was overtaken is not shown
    if (mine !== turn) return
    swap(place, html)
    history.replaceState(null, "", form.getAttribute("action") + asked(form))
    if (!quiet) tell(place.querySelector(".card") ? "Your list is up to date" : "Nothing fits")
  } catch (error) {
    if (mine === turn) tell(error.message)
  } finally {
    if (mine === turn) place.setAttribute("aria-busy", "false")
  }
}

function live(form) {
  let waiting
  const soon = () => {
    clearTimeout(waiting)
    waiting = setTimeout(() => refresh(form, "quiet" in form.dataset), 120)
  }
  form.addEventListener("input", (event) => {
    const { target } = event
    if (target.type === "range") target.parentElement.querySelector("output").textContent = `${Math.round(100 * target.value)} %`
    soon()
  })
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    soon()
  })
}

async function act(event) {
  const form = event.target.closest("form[data-act]")
  if (!form || !event.submitter) return
  event.preventDefault()
  const button = event.submitter
  const kind = button.value
  const card = form.closest(".card")
  const title = button.getAttribute("aria-label").replace(/^(Like|Hide) /, "")
  const fields = new URLSearchParams({ item: form.querySelector("[name=item]").value, kind })
  const like = form.querySelector(".like")
  const before = like.getAttribute("aria-pressed")
  const sent = fetch(form.action, { method: "POST", body: fields, headers: { Accept: "application/json" } })
  if (kind === "like") like.setAttribute("aria-pressed", "true")
  const away = kind === "hide" && card
  if (away) card.classList.add("leaving")
  try {
    const answer = await sent
    if (!answer.ok) throw new Error((await answer.json()).message)
    if (away) leave(card)
    const tune = document.querySelector("form[data-live='/shelves']")
    const more = tune && { name: "Update my lists", run: () => refresh(tune) }
    tell(kind === "like" ? `Liked ${title}` : `Hidden: ${title}`, more)
  } catch (error) {
    like.setAttribute("aria-pressed", before)
    card?.classList.remove("leaving")
    tell(error.message || "That did not work; try it again")
  }
}

function leave(card) {
  const next = card.nextElementSibling || card.previousElementSibling
  const had = card.contains(document.activeElement)
  card.remove()
  if (had) (next?.querySelector(".title a") || document.getElementById("main")).focus()
}

function drop(label) {
  const input = label.querySelector("input")
  const words = label.querySelector("[data-words]")
  const first = words.textContent
  const show = () => {
    label.querySelector("img")?.remove()
    const file = input.files[0]
    words.textContent = file ? file.name : first
    if (!file) return
    const reader = new FileReader()
    reader.addEventListener("load", () => {
      const image = new Image()
      image.alt = "The chosen picture"
      image.src = reader.result
      label.querySelector("img")?.remove()
      label.prepend(image)
    })
    reader.readAsDataURL(file)
    const form = label.closest("form[data-send]")
    if (form) form.requestSubmit()
  }
  input.addEventListener("change", show)
  label.addEventListener("dragover", (event) => {
    event.preventDefault()
    label.classList.add("over")
  })
  label.addEventListener("dragleave", () => label.classList.remove("over"))
  label.addEventListener("drop", (event) => {
    event.preventDefault()
    label.classList.remove("over")
    const file = [...event.dataTransfer.files].find((one) => one.type.startsWith("image/"))
    if (!file) return tell("That is no picture")
    const list = new DataTransfer()
    list.items.add(file)
    input.files = list.files
    show()
  })
}

async function load(place) {
  place.setAttribute("aria-busy", "true")
  try {
    swap(place, await get(place.dataset.load))
    place.replaceWith(...place.childNodes)
  } catch {
    // the link in it still leads to the same
    place.setAttribute("aria-busy", "false")
  }
}

function ready(place) {
  place.querySelectorAll("form[data-live]").forEach(live)
  place.querySelectorAll("[data-drop]").forEach(drop)
  place.querySelectorAll("[data-load]").forEach(load)
  place.querySelectorAll("form[data-auto]").forEach((form) => form.addEventListener("change", (event) => event.target.matches("select") && form.requestSubmit()))
  place.querySelectorAll("form[data-busy]").forEach((form) =>
    form.addEventListener("submit", () => {
      const button = form.querySelector(".solid")
      button.setAttribute("aria-disabled", "true")
      button.textContent = form.dataset.busy
    }),
  )
}

document.addEventListener("submit", act)
ready(document)
