// Every function of the page also works without this script: forms are submitted, links are followed.
const root = document.documentElement
const toast = document.getElementById("toast")
let toastTimer

root.classList.add("js")

function showToast(text, action) {
  toast.replaceChildren(document.createTextNode(text))
  if (action) {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = action.name
    button.addEventListener("click", action.run)
    toast.append(button)
  }
  toast.classList.add("on")
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => toast.classList.remove("on"), action ? 9000 : 4000)
}

async function fetchHtml(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } })
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

async function sendFeedback(event) {
  const form = event.target.closest("form[data-feedback]")
  if (!form || !event.submitter) return
  event.preventDefault()
  const button = event.submitter
  const type = button.value
  const card = form.closest(".card")
  const title = button.getAttribute("aria-label").replace(/^(Like|Hide) /, "")
  const fields = new URLSearchParams({ item: form.querySelector("[name=item]").value, type })
  const like = form.querySelector(".like")
  const pressed = like.getAttribute("aria-pressed")
  const request = fetch(form.action, { method: "POST", body: fields, headers: { Accept: "application/json" } })
  if (type === "like") like.setAttribute("aria-pressed", "true")
  const hides = type === "hide" && card
  if (hides) card.classList.add("leaving")
  try {
    const response = await request
    if (!response.ok) throw new Error((await response.json()).message)
    if (hides) removeCard(card)
    const tune = document.querySelector("form[data-live='/rows']")
    const action = tune && { name: "Update my lists", run: () => refresh(tune) }
    showToast(type === "like" ? `Liked ${title}` : `Hidden: ${title}`, action)
  } catch (error) {
    like.setAttribute("aria-pressed", pressed)
    card?.classList.remove("leaving")
    showToast(error.message || "The request failed; please try again")
  }
}

function removeCard(card) {
  const neighbour = card.nextElementSibling || card.previousElementSibling
  const hadFocus = card.contains(document.activeElement)
  card.remove()
  if (hadFocus) (neighbour?.querySelector(".title a") || document.getElementById("main")).focus()
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
