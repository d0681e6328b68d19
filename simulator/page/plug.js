// The drawn plug: LED and relay as their pins are, the button, how long it is held, the click.

const at = id => document.getElementById(id)

// Pins are shown this long after they moved: what the network brings late is still in time then.
const BEHIND_MS = 60

// A frame shows the LED lit if it was lit at any moment since the frame before, as an eye would:
// of a light of 20 ms nothing may be lost between two frames.
export class Lights {
  constructor() {
    this.queue = []
    this.late = Infinity // least difference between this page's clock and the plug's
    this.led = this.relay = false
    this.ticking = false
    this.onrelay = () => {}
  }

  // What GET /api/plug says, if no event is on its way.
  set(led, relay) {
    if (this.queue.length) return
    this.led = led
    this.relay = relay
    this.show(led, relay)
  }

  // `ms` of the plug's clock is now, or was a moment ago.
  clock(ms) {
    this.late = Math.min(this.late, performance.now() - ms)
  }

  // One pin's change, at `ms` of the plug's clock.
  change(what, on, ms) {
    this.clock(ms)
    this.queue.push({what, on, at: ms + this.late + BEHIND_MS})
    if (!this.ticking) {
      this.ticking = true
      requestAnimationFrame(() => this.frame())
    }
  }

  frame() {
    const now = performance.now()
    let led = this.led, relay = this.relay
    while (this.queue.length && this.queue[0].at <= now) {
      const {what, on} = this.queue.shift()
      if (what == "led") {
        this.led = on
        led ||= on
      } else {
        if (on != this.relay) this.onrelay(on)
        relay = this.relay = on
      }
    }
    this.show(led, relay)
    this.ticking = this.queue.length > 0 || led != this.led
    if (this.ticking) requestAnimationFrame(() => this.frame())
  }

  show(led, relay) {
    for (const id of ["led", "ledhalo"]) at(id).classList.toggle("on", led)
    for (const id of ["relay", "relayhalo"]) at(id).classList.toggle("on", relay)
  }

  // The clock may be another one after a reconnection.
  forget() {
    this.queue = []
    this.late = Infinity
  }
}

// --- how long the button is held

// Where the thresholds stand on the ring, in hundredths: times between them grow unevenly.
const STOPS = [0, 28, 64, 100]
const NAMES = {short: "short", long: "long", portal: "hold", open: "hold on"}

export class Ring {
  constructor() {
    this.thresholds([600, 5000, 15000])
    this.since = 0
  }

  thresholds(times) {
    this.times = [0, ...times]
    const marks = STOPS.slice(1).map(part => {
      const turn = part / 100 * 2 * Math.PI, line = document.createElementNS("http://www.w3.org/2000/svg", "line")
      const [x, y] = [Math.cos(turn), Math.sin(turn)]
      for (const [name, value] of Object.entries({x1: 140 + 40 * x, y1: 258 + 40 * y, x2: 140 + 50 * x, y2: 258 + 50 * y}))
        line.setAttribute(name, value.toFixed(2))
      line.setAttribute("class", "mark")
      return line
    })
    at("marks").replaceChildren(...marks)
  }

  reach(ms) {
    const [, long, portal, open] = this.times
    return ms < long ? "short" : ms < portal ? "long" : ms < open ? "portal" : "open"
  }

  down() {
    this.since = performance.now()
    at("s26").classList.add("down")
    this.tick()
  }

  up() {
    if (!this.since) return
    const ms = performance.now() - this.since
    this.since = 0
    at("s26").classList.remove("down")
    at("pressing").textContent = `${(ms / 1000).toFixed(1)} s: ${NAMES[this.reach(ms)]}`
    this.draw(0)
    setTimeout(() => { if (!this.since) at("pressing").textContent = "" }, 1500)
  }

  tick() {
    if (!this.since) return
    const ms = performance.now() - this.since
    at("pressing").textContent = `${(ms / 1000).toFixed(1)} s: ${NAMES[this.reach(ms)]}`
    this.draw(ms)
    requestAnimationFrame(() => this.tick())
  }

  draw(ms) {
    const n = Math.min(2, this.times.findLastIndex(time => ms >= time))
    const part = Math.min(1, (ms - this.times[n]) / (this.times[n + 1] - this.times[n]))
    const full = STOPS[n] + part * (STOPS[n + 1] - STOPS[n])
    at("held").setAttribute("stroke-dasharray", `${full.toFixed(1)} 100`)
    at("held").dataset.reach = this.reach(ms)
    for (const row of document.querySelectorAll("#presses [data-reach]"))
      row.classList.toggle("lit", ms > 0 && row.dataset.reach == this.reach(ms))
  }
}

// --- the relay's click

export class Click {
  constructor() {
    this.on = true
    this.clicks = 0
    // Browsers keep quiet until somebody has touched the page.
    for (const kind of ["pointerdown", "keydown"])
      addEventListener(kind, () => this.wake(), {capture: true, once: true})
  }

  wake() {
    this.context ??= new AudioContext()
    this.context.resume()
  }

  play(closes) {
    const sound = this.context
    if (!this.on || sound?.state != "running") return
    this.clicks++
    document.body.dataset.clicks = this.clicks
    const now = sound.currentTime, length = 0.05
    const noise = sound.createBuffer(1, Math.ceil(sound.sampleRate * length), sound.sampleRate)
    const samples = noise.getChannelData(0)
    for (let n = 0; n < samples.length; n++) {
      const t = n / sound.sampleRate
      samples[n] = (Math.random() * 2 - 1) * Math.exp(-t * 260)
        + 0.5 * Math.sin(2 * Math.PI * (closes ? 190 : 150) * t) * Math.exp(-t * 90)
    }
    const source = sound.createBufferSource(), tone = sound.createBiquadFilter(), gain = sound.createGain()
    source.buffer = noise
    tone.type = "peaking"
    tone.frequency.value = closes ? 2900 : 2200
    tone.gain.value = 9
    gain.gain.setValueAtTime(0.5, now)
    source.connect(tone).connect(gain).connect(sound.destination)
    source.start(now)
  }
}
