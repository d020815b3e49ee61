// Every function of the page also works without this script: forms are submitted, links are followed.
const root = document.documentElement
const toast = document.getElementById("toast")
let toastTimer

root.classList.add("js")

function showToast(text, ...actions) {
  toast.replaceChildren(document.createTextNode(text))
  for (const action of actions) {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = action.name
    button.addEventListener("click", action.run)
    toast.append(button)
  }
  toast.classList.add("on")
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => toast.classList.remove("on"), actions.length ? 9000 : 4000)
}

async function fetchHtml(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } }).catch(() => {
    throw new Error("The server cannot be reached; please try again")
  })
  const text = await response.text()
  if (!response.ok) {
    const page = new DOMParser().parseFromString(text, "text/html")
    throw new Error(page.querySelector(".lead")?.textContent || "The request failed")
  }
  return text
}

function replaceContent(element, html) {
  const part = document.createRange().createContextualFragment(html)
  element.replaceChildren(part)
  initialize(element)
}

// the fields of a form with a value, as they stand in a shared address
function queryOf(form) {
  const query = new URLSearchParams()
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string" && value !== "" && !(form.elements.namedItem(name)?.type === "range" && Number(value) === 0)) query.append(name, value)
  }
  const text = query.toString()
  return text ? `?${text}` : ""
}

let latestRefresh = 0
async function refresh(form, quiet) {
  const target = document.querySelector(form.dataset.into)
  const own = ++latestRefresh
  target.setAttribute("aria-busy", "true")
  try {
    const html = await fetchHtml(form.dataset.live + queryOf(form))
    // a response that was overtaken by a later request is not shown
    if (own !== latestRefresh) return
    replaceContent(target, html)
    history.replaceState(null, "", form.getAttribute("action") + queryOf(form))
    if (!quiet) showToast(target.querySelector(".card") ? "The list is up to date" : "No items found")
  } catch (error) {
    if (own === latestRefresh) showToast(error.message)
  } finally {
    if (own === latestRefresh) target.setAttribute("aria-busy", "false")
  }
}

function refreshOnInput(form) {
  let timer
  const schedule = () => {
    clearTimeout(timer)
    timer = setTimeout(() => refresh(form, "quiet" in form.dataset), 120)
  }
  form.addEventListener("input", (event) => {
    const { target } = event
    if (target.type === "range") target.parentElement.querySelector("output").textContent = `${Math.round(100 * target.value)} %`
    schedule()
  })
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    schedule()
  })
}

const OPPOSITE = { like: "unlike", unlike: "like", hide: "unhide", unhide: "hide" }
const SAID = { like: "Liked", unlike: "No longer liked:", hide: "Hidden:", unhide: "Shown again:" }

async function postFeedback(form, type) {
  const fields = new URLSearchParams({ item: form.querySelector("[name=item]").value, type })
  let response
  try {
    response = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: "application/json" } })
  } catch {
    throw new Error("The server cannot be reached; please try again")
  }
  // a proxy may answer with something else
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw new Error(answer.message || answer.detail || "The request failed; please try again")
  return answer
}

// the buttons of an item as they are after an event
function showFeedback(form, type) {
  const [like, hide] = [form.querySelector(".like"), form.querySelector(".hide")]
  const liked = type === "like" || (type !== "unlike" && like.getAttribute("aria-pressed") === "true")
  const hidden = type === "hide" || (type === "unlike" && hide.getAttribute("aria-pressed") === "true")
  like.setAttribute("aria-pressed", liked && !hidden)
  like.value = liked && !hidden ? "unlike" : "like"
  like.title = liked && !hidden ? "Remove from your likes" : "Like"
  hide.setAttribute("aria-pressed", hidden)
  hide.value = hidden ? "unhide" : "hide"
  hide.title = hidden ? "Show again" : "Not interested"
  form.closest(".details")?.querySelector("[data-hidden]")?.toggleAttribute("hidden", !hidden)
}

// a browser becomes a user by its first like: what the page says of the user is read again
async function showUser() {
  if (document.querySelector(".user-link .initial")) return
  const page = new DOMParser().parseFromString(await fetchHtml(location.href), "text/html")
  for (const part of document.querySelectorAll("[data-user]")) {
    const now = page.querySelector(`[data-user=${part.dataset.user}]`)
    if (!now) continue
    part.replaceWith(now)
    initialize(now)
  }
}

async function sendFeedback(event) {
  const form = event.target.closest("form[data-feedback]")
  if (!form || !event.submitter) return
  event.preventDefault()
  const type = event.submitter.value
  const card = form.closest(".card")
  const title = event.submitter.getAttribute("aria-label").replace(/^(Like|Hide) /, "")
  const before = [...form.querySelectorAll("button")].map((button) => [button, button.value, button.getAttribute("aria-pressed")])
  const hides = type === "hide" && card
  if (hides) card.classList.add("leaving")
  showFeedback(form, type)
  try {
    await postFeedback(form, type)
    // what was stored is stored, whatever becomes of the greeting
    showUser().catch(() => {})
    // a place to come back to, should the user undo it
    const place = hides ? removeCard(card) : null
    const undo = {
      name: "Undo",
      run: async () => {
        try {
          await postFeedback(form, OPPOSITE[type])
          place?.replaceWith(card)
          card?.classList.remove("leaving")
          showFeedback(form, OPPOSITE[type])
          showToast(`Undone: ${title}`)
        } catch (error) {
          showToast(error.message)
        }
      },
    }
    const tune = document.querySelector("form[data-live='/rows']")
    const update = tune ? [{ name: "Update my lists", run: () => refresh(tune) }] : []
    showToast(`${SAID[type]} ${title}`, undo, ...update)
  } catch (error) {
    for (const [button, value, pressed] of before) {
      button.value = value
      button.setAttribute("aria-pressed", pressed)
    }
    card?.classList.remove("leaving")
    showToast(error.message || "The request failed; please try again")
  }
}

function removeCard(card) {
  const neighbour = card.nextElementSibling || card.previousElementSibling
  const hadFocus = card.contains(document.activeElement)
  const place = document.createComment("hidden")
  card.replaceWith(place)
  if (hadFocus) (neighbour?.querySelector(".title a") || document.getElementById("main")).focus()
  return place
}

function acceptDrops(label) {
  const input = label.querySelector("input")
  const caption = label.querySelector("[data-text]")
  const initialText = caption.textContent
  const preview = () => {
    label.querySelector("img")?.remove()
    const file = input.files[0]
    caption.textContent = file ? file.name : initialText
    if (!file) return
    const reader = new FileReader()
    reader.addEventListener("load", () => {
      const image = new Image()
      image.alt = "The chosen image"
      image.src = reader.result
      label.querySelector("img")?.remove()
      label.prepend(image)
    })
    reader.readAsDataURL(file)
    const form = label.closest("form[data-send]")
    if (form) form.requestSubmit()
  }
  input.addEventListener("change", preview)
  label.addEventListener("dragover", (event) => {
    event.preventDefault()
    label.classList.add("over")
  })
  label.addEventListener("dragleave", () => label.classList.remove("over"))
  label.addEventListener("drop", (event) => {
    event.preventDefault()
    label.classList.remove("over")
    const file = [...event.dataTransfer.files].find((candidate) => candidate.type.startsWith("image/"))
    if (!file) return showToast("This file is not an image")
    const transfer = new DataTransfer()
    transfer.items.add(file)
    input.files = transfer.files
    preview()
  })
}

async function load(element) {
  element.setAttribute("aria-busy", "true")
  try {
    replaceContent(element, await fetchHtml(element.dataset.load))
    element.replaceWith(...element.childNodes)
  } catch {
    // the link inside still leads to the same content
    element.setAttribute("aria-busy", "false")
  }
}

function initialize(parent) {
  parent.querySelectorAll("form[data-live]").forEach(refreshOnInput)
  parent.querySelectorAll("[data-drop]").forEach(acceptDrops)
  parent.querySelectorAll("[data-load]").forEach(load)
  parent.querySelectorAll("form[data-auto]").forEach((form) => form.addEventListener("change", (event) => event.target.matches("select") && form.requestSubmit()))
  parent.querySelectorAll("form[data-busy]").forEach((form) =>
    form.addEventListener("submit", () => {
      const button = form.querySelector(".solid")
      button.setAttribute("aria-disabled", "true")
      button.textContent = form.dataset.busy
    }),
  )
}

document.addEventListener("submit", sendFeedback)
initialize(document)
