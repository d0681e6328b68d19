// The page of the simulator: what happens comes as server-sent events, what is done goes as POST.

import {Chart} from "./chart.js"
import {Diagram} from "./diagram.js"
import {Click, Lights, Ring} from "./plug.js"
import {Stories} from "./stories.js"

const at = id => document.getElementById(id)
const MESSAGES = 300

let about = {states: [], rows: [], button: {}, stories: []}
let plug = {}, root = "octoplugout", mode = "ok", brokerMode = "ok"

// --- what is done

async function post(path, data) {
  const answer = await fetch(path, {method: "POST", body: JSON.stringify(data)})
  const said = await answer.json()
  at("wrong").textContent = answer.ok ? "" : said.error
  return answer.ok ? said : null
}

async function get(path) {
  const answer = await fetch(path)
  return answer.ok ? answer.json() : null
}

function list(element, rows) {
  const parts = []
  for (const [name, value] of rows) {
    const term = document.createElement("dt"), text = document.createElement("dd")
    term.textContent = name
    text.textContent = value ?? "–"
    parts.push(term, text)
  }
  element.replaceChildren(...parts)
}

const lights = new Lights(), ring = new Ring(), click = new Click(), stories = new Stories(post)
const diagram = new Diagram(at("diagram")), chart = new Chart(at("chart"), at("read"))
lights.onrelay = on => click.play(on)
chart.alias = name => about.states.find(state => state.published == name)?.name ?? name

// --- what stays the same while the plug runs

async function learn() {
  const said = await get("/api/page")
  if (!said) return
  about = said
  root = said.root
  at("switchtopic").textContent = root + "/switch"
  const {long_ms, portal_ms, open_ms} = said.button
  ring.thresholds([long_ms, portal_ms, open_ms])
  at("opens").textContent = open_ms / 1000
  diagram.table(said.states, said.rows)
  chart.limits = said.settings
  for (const id of ["printers", "pis", "cable", "slow"]) at(id).hidden = !said.pi
  for (const id of ["mqtts", "brokers", "brokerup"]) at(id).hidden = !said.broker
  at("leaves").textContent = said.pi && said.broker ? "Nothing leaves this PC." : "It talks to what --octoprint and --mqtt name."
  stories.table(said)
  speeds(said.speed)
  show(plug)
}

function speeds({now, choices, why_not}) {
  const buttons = choices.map(speed => {
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = speed + "×"
    button.disabled = !!why_not && speed != now
    button.title = why_not ?? "Begins anew, with a fresh plug"
    button.setAttribute("aria-pressed", speed == now)
    button.addEventListener("click", () => post("/api/speed", {speed}))
    return button
  })
  at("speeds").replaceChildren(at("speedname"), ...buttons)
}

async function past() {
  const said = await get("/api/history")
  if (!said) return
  chart.clear()
  chart.clock(said.now_ms)
  chart.samples = said.samples
  chart.states = said.states
  chart.relay = said.relay
  chart.draw()
}

function span(seconds) {
  chart.span = seconds
  for (const button of at("spans").children)
    button.setAttribute("aria-pressed", button.dataset.span == seconds)
  chart.draw()
}
at("spans").addEventListener("click", event => event.target.dataset.span && span(+event.target.dataset.span))
span(60)

// --- the plug

// What a press does now: from the rows of the table that begin with it.
function follows(name, word) {
  const rows = about.rows.filter(row => row.from == name && row.events.includes(word))
  const all = about.rows.filter(row => row.from == "any on-state" && row.events.includes(word))
  const parts = []
  for (const row of [...rows, ...(name == "Relay_off" ? [] : all)]) {
    parts.push(row.to + (row.only_if ? ` if ${row.only_if}` : "") + (row.also ? `, ${row.also}` : ""))
    if (!row.only_if) return parts.join("; else ")
  }
  return [...parts, "nothing"].join("; else ")
}

function presses(name) {
  const {long_ms, portal_ms, open_ms} = about.button
  if (!long_ms) return
  const s = ms => (ms / 1000).toLocaleString("en", {maximumFractionDigits: 1})
  const rows = [
    ["short", "short", `under ${s(long_ms)} s`, name ? follows(name, "SHORT") : "nothing"],
    ["long", "long", `from ${s(long_ms)} s`, name ? follows(name, "LONG") : "nothing"],
    ["portal", "hold", `from ${s(portal_ms)} s`, "opens the portal"],
    ["open", "hold on", `from ${s(open_ms)} s`, "access point without a password"],
  ]
  at("presses").replaceChildren(...rows.flatMap(([reach, word, from, does]) => {
    const term = document.createElement("dt"), text = document.createElement("dd"), bold = document.createElement("b")
    bold.textContent = word
    term.append(bold, ` ${from}`)
    text.textContent = does
    term.dataset.reach = text.dataset.reach = reach
    return [term, text]
  }))
}

let before = "", was = null, is = null
function show(p) {
  if (!p.wifi) return
  const first = !plug.wifi
  plug = p
  const alias = chart.alias(p.state), known = about.states.find(state => state.name == alias)
  const name = p.power && !p.dead ? known?.name ?? null : null
  at("state").textContent = p.power ? p.dead ? "Dead" : alias ?? "Starting" : "No power"
  at("published").textContent = known && name && known.published != name ? known.published : ""
  at("reason").textContent = p.power ? p.dead ? `its firmware has ended: ${p.dead}` : p.reason ?? "" : "plug it in"
  at("count").hidden = p.countdown_s == null
  at("left").textContent = p.countdown_s ?? ""
  at("s26").classList.toggle("dark", !p.power)
  at("s26").classList.toggle("dead", !!p.dead)
  lights.set(p.led, p.relay)
  check("mains", p.power)
  check("wifi", p.wifi.up)
  const row = p.fired == null ? null : about.rows[p.fired]
  if (name != is) [was, is] = [is, name]
  const from = row?.from == "any on-state" ? was : row?.from
  diagram.show(name, row && row.aims.length ? [from, row.aims[0]] : row ? [from, name] : null)
  if (before != name + "/" + p.fired + about.rows.length) {
    before = name + "/" + p.fired + about.rows.length
    presses(name)
    next(name, p.fired)
    at("fired").textContent = row ? `Last: ${row.from} → ${row.to}, because ${row.when}` + (row.also ? `; ${row.also}.` : ".") : ""
    at("live").textContent = first ? "" : `${at("state").textContent}: ${p.reason ?? ""}. Relay ${p.relay ? "on" : "off"}.`
  }
  list(at("net"), [
    ["WiFi", p.wifi.up ? p.wifi.status == 5 ? "joined" : p.wifi.access_point ? "the plug's own access point" : "not joined" : "gone"],
    ["MQTT", about.broker ? online : "see the real broker"],
  ])
  inside(p)
  portal()
}

function inside(p) {
  list(at("inside"), [
    ["longest stall", p.stall_ms_max.toFixed(1) + " ms"],
    ["heap free", p.heap_free == null || p.runtime == "cpython" ? "– (CPython)" : p.heap_free.toLocaleString("en") + " B"],
    ["up for", duration(p.uptime_ms)], ["resets", p.resets],
  ])
  at("runtime").textContent = p.runtime + (p.heap ? `, with the ${p.heap / 1024} KB of heap that the plug has` : "")
}
setInterval(async () => {
  const said = document.hidden ? null : await get("/api/plug").catch(() => null)
  if (said) inside(said)
}, 5000)

function duration(ms) {
  const s = Math.floor(ms / 1000)
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`
}

function next(name, fired) {
  const rows = about.rows.map((row, n) => ({...row, n}))
    .filter(row => row.from == name || name && name != "Relay_off" && row.from == "any on-state")
  at("next").replaceChildren(...rows.map(row => {
    const item = document.createElement("li"), when = document.createElement("span"), to = document.createElement("b")
    when.textContent = row.when
    to.textContent = "→ " + row.to
    item.classList.toggle("last", row.n == fired)
    item.append(when, to)
    return item
  }))
}

function check(id, on) {
  at(id).setAttribute("aria-checked", !!on)
}

// --- the button: one finger, and its ups and downs in order

let finger = Promise.resolve(), isDown = false
function press(down) {
  if (down == isDown) return
  isDown = down
  down ? ring.down() : ring.up()
  finger = finger.then(() => post("/api/plug/button", {down})).catch(() => {})
}
const button = at("button"), isKey = event => event.key == " " || event.key == "Enter"
button.addEventListener("pointerdown", event => {
  if (event.button) return
  button.setPointerCapture(event.pointerId)
  press(true)
})
for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"])
  button.addEventListener(kind, () => press(false))
button.addEventListener("contextmenu", event => event.preventDefault())
button.addEventListener("keydown", event => {
  if (!isKey(event)) return
  event.preventDefault()
  if (!event.repeat) press(true)
})
button.addEventListener("keyup", event => isKey(event) && press(false))

function hold(reach) {
  const {long_ms, portal_ms, open_ms} = about.button
  const hold_ms = {short: Math.min(200, long_ms / 2), long: (long_ms + Math.min(portal_ms, 2 * long_ms)) / 2, portal: portal_ms + 300, open: open_ms + 500}[reach]
  ring.down()
  post("/api/plug/button", {hold_ms: Math.round(hold_ms)}).finally(() => ring.up())
}

// --- buttons, switches, forms

const switches = {
  mains: on => post("/api/plug/power", {on}),
  wifi: on => post("/api/plug/wifi", {up: on}),
  cable: on => post("/api/pi", {network: on}),
  slow: on => post("/api/printer", {mode: on ? "slow" : "ok"}),
  brokerup: on => post("/api/mqtt", {mode: on ? "ok" : "refused"}).then(said => said && broker(said.mode)),
  sound: on => { click.on = on },
}

document.addEventListener("click", async event => {
  const element = event.target.closest("button")
  if (!element) return
  const {post: path, json, command} = element.dataset
  if (path) post(path, JSON.parse(json))
  if (command) send(command, false)
  if (element.dataset.hold) hold(element.dataset.hold)
  if (element.getAttribute("role") == "switch") {
    const on = element.getAttribute("aria-checked") != "true"
    if (await switches[element.id](on) !== null) check(element.id, on)
  }
})

function send(word, retain) {
  return post("/api/mqtt", {publish: root + "/switch", payload: word, retain})
}

function form(id, then) {
  at(id).addEventListener("submit", event => {
    event.preventDefault()
    then(Object.fromEntries(new FormData(event.target)))
  })
}
form("job", job => post("/api/printer", {do: "start", duration_s: +job.duration_s, tool_c: +job.tool_c}))
form("heat", heat => post("/api/printer", {do: "heat", tool_c: +heat.tool_c}))
form("send", message => send(message.word, !!message.retain))
at("onshutdown").addEventListener("change", () => post("/api/pi", JSON.parse(at("onshutdown").value)))
at("mode").addEventListener("change", () => post("/api/printer", {mode: at("mode").value}))
at("mqttmode").addEventListener("change", async () => {
  const said = await post("/api/mqtt", {mode: at("mqttmode").value})
  if (said) broker(said.mode)
})

async function modes(select) {
  const said = await get(select.dataset.path)
  select.replaceChildren(...Object.entries(said.known_modes).map(([name, meaning]) => new Option(`${name}: ${meaning}`, name, false, name == said.mode)))
  return said
}

function broker(now) {
  brokerMode = now
  at("mqttmode").value = now
  check("brokerup", now == "ok")
}

// --- printer, Pi, messages

function printer(p) {
  const {tool0, bed} = p.temperatures
  const heat = heater => `${heater.actual.toFixed(0)} °C` + (heater.target ? ` → ${heater.target} °C` : "")
  list(at("printer"), [
    ["state", p.state], ["nozzle", heat(tool0)], ["bed", heat(bed)],
    ["job", p.job && `${p.job.name}, ${p.job.completion == null ? "cancelled" : p.job.completion.toFixed(0) + " %"}`],
  ])
  at("lcd").textContent = p.display
  at("done").style.width = (p.job?.completion ?? 0) + "%"
  at("appkeys").hidden = !p.appkeys_waiting.length
  at("app").textContent = p.appkeys_waiting.join(", ")
  list(at("pi"), [
    ["state", p.pi.state], ["shutdowns accepted", p.pi.shutdowns],
    ["lost its power alive", p.pi.cuts.map(cut => cut.state + (cut.printing ? ", printing" : "")).join("; ") || "never"],
  ])
  if (p.mode != mode) at("mode").value = mode = p.mode
  check("slow", p.mode == "slow")
  check("cable", p.pi.network)
  clock(p.now_ms)
  chart.add(chart.samples, [p.now_ms, tool0.actual, bed.actual, tool0.target, p.job?.completion ?? null])
}

let online = "offline", born = 0 // when the plug got its power
function message(m) {
  if (m.topic == root + "/status") online = m.payload
  const item = document.createElement("li"), when = document.createElement("time"), text = document.createElement("span"), what = document.createElement("b")
  when.textContent = ((m.ms - born) / 1000).toFixed(1)
  what.textContent = m.payload
  text.append(m.topic.replace(root, "…") + " ", what)
  item.classList.toggle("mine", !m.client)
  item.title = `${m.topic}${m.retain ? ", retained" : ""}, from ${m.client || "this page"}`
  item.append(when, text)
  at("messages").prepend(item)
  while (at("messages").children.length > MESSAGES) at("messages").lastChild.remove()
}

// --- the portal

let asking = false, open = null
async function portal() {
  if (asking) return
  asking = true
  const said = await get("/api/portal").finally(() => asking = false)
  if (!said) return
  const now = said.open && said.url
  if (now != open) {
    at("frame").hidden = !now
    if (now || open) at("frame").src = now || "about:blank"
    if (open) learn() // what was set there may have changed
    open = now
  }
  at("closed").hidden = !!now
  at("closed").textContent = said.open ? "Open. Nothing here shows it." : said.why_not
  at("portal").hidden = !now
  if (now) at("portal").href = now
  const point = said.access_point && said.access_point + (said.access_point_open ? ", open" : ", with the portal's password")
  list(at("portalstate"), [["the plug's address", said.plug], ["its own WiFi", point], ["portal password", said.password]])
  list(at("enter"), Object.entries(said.enter))
}

// --- what happens

function clock(ms) {
  chart.clock(ms)
  lights.clock(ms)
}

const events = new EventSource(document.body.dataset.events)
const on = (kind, then) => events.addEventListener(kind, event => then(JSON.parse(event.data)))
on("plug", p => {
  if (!born && p.power) born = p.now_ms - p.uptime_ms
  clock(p.now_ms)
  const last = chart.states[chart.states.length - 1]?.[1]
  if (p.state && p.state != last) chart.add(chart.states, [p.now_ms, p.state])
  show(p)
})
on("printer", printer)
on("mqtt", message)
on("story", story => stories.show(story))
on("anew", async () => {
  lights.forget()
  born = 0
  at("messages").replaceChildren()
  at("onshutdown").selectedIndex = 0
  broker("ok")
  await learn()
  await past()
})
on("pin", pin => {
  if (pin.pin == 13) lights.change("led", pin.driven && !pin.level, pin.ms)
  if (pin.pin == 12) {
    const closed = pin.driven && !!pin.level
    lights.change("relay", closed, pin.ms)
    if (!!chart.relay[chart.relay.length - 1]?.[1] != closed) chart.add(chart.relay, [pin.ms, closed])
  }
})
events.onerror = () => at("wrong").textContent = "The simulator has ended."
let opened = 0
events.onopen = () => {
  at("wrong").textContent = ""
  lights.forget()
  if (opened++) learn().then(past) // it may be another one
}

await learn()
await past()
if (about.pi) modes(at("mode"))
if (about.broker) {
  const said = await modes(at("mqttmode"))
  at("messages").replaceChildren() // the log has those that came meanwhile, too
  said.log.slice(-MESSAGES).forEach(message)
  broker(said.mode)
}
