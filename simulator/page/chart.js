// What happened over time: temperatures with their limits, the job, bands of states, the relay.

const LANES = {job: 10, state: 20, relay: 8, gap: 6}
const LEFT = 36, TOP = 8, FOOT = 18

export class Chart {
  constructor(canvas, read) {
    this.canvas = canvas
    this.read = read
    this.span = 60
    this.alias = name => name
    this.limits = {}
    this.clear()
    new ResizeObserver(() => this.draw()).observe(canvas)
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw())
    canvas.addEventListener("pointermove", event => { this.pointer = event.offsetX; this.draw() })
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.draw() })
    setInterval(() => document.hidden || this.draw(), 250)
  }

  clear() {
    this.samples = [] // [ms, tool, bed, target, job]
    this.states = [] // [ms, published]
    this.relay = [] // [ms, on]
    this.late = Infinity
    this.pointer = null
  }

  // `ms` of the plug's clock is now.
  clock(ms) {
    this.late = Math.min(this.late, performance.now() - ms)
  }

  add(list, item) {
    list.push(item)
    if (list.length > 5000) list.splice(0, 1000)
  }

  draw() {
    const {width, height} = this.canvas.getBoundingClientRect()
    if (!width || this.late == Infinity) return
    const scale = devicePixelRatio || 1
    if (this.canvas.width != Math.round(width * scale) || this.canvas.height != Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale)
      this.canvas.height = Math.round(height * scale)
    }
    const pen = this.canvas.getContext("2d")
    pen.setTransform(scale, 0, 0, scale, 0, 0)
    pen.clearRect(0, 0, width, height)
    const style = getComputedStyle(this.canvas), ink = name => style.getPropertyValue("--" + name).trim()
    pen.font = "11px " + style.fontFamily
    pen.textBaseline = "middle"
    const now = performance.now() - this.late, begin = now - this.span * 1000
    const x = ms => LEFT + (ms - begin) / (now - begin) * (width - LEFT)
    const plot = height - TOP - FOOT - LANES.job - LANES.state - LANES.relay - 3 * LANES.gap
    const highest = Math.max(250, ...this.samples.filter(s => s[0] >= begin).map(s => Math.max(s[1], s[3]) + 10))
    const y = c => TOP + plot - c / highest * plot

    // grid
    pen.lineWidth = 1
    for (let c = 0; c <= highest; c += 50) {
      pen.strokeStyle = ink("line")
      line(pen, [[LEFT, y(c)], [width, y(c)]])
      pen.fillStyle = ink("quiet")
      pen.textAlign = "right"
      if (c % 100 == 0) pen.fillText(c ? `${c}°` : "0", LEFT - 6, y(c))
    }
    pen.setLineDash([2, 4])
    pen.strokeStyle = ink("edge")
    pen.textAlign = "left"
    for (const [word, c] of [["cool", this.limits.cool_below_c], ["counts", this.limits.hot_above_c]]) {
      if (c == null) continue
      line(pen, [[LEFT, y(c)], [width, y(c)]])
      pen.fillStyle = ink("quiet")
      pen.fillText(`${word} ${c}°`, LEFT + 4, y(c) - 8)
    }
    pen.setLineDash([])
    const step = this.span <= 60 ? 10 : this.span <= 300 ? 60 : 300
    pen.textAlign = "center"
    pen.fillStyle = ink("quiet")
    for (let s = step; s < this.span; s += step) {
      const label = s < 60 ? `${s} s ago` : `${s / 60} min ago`
      const px = x(now - s * 1000)
      if (px > LEFT + 30 && (width > 500 || s % (2 * step) == 0)) pen.fillText(label, px, height - 6)
    }

    // temperatures
    pen.save()
    pen.beginPath()
    pen.rect(LEFT, 0, width - LEFT, height)
    pen.clip()
    const first = Math.max(0, this.samples.findIndex(s => s[0] >= begin) - 1)
    const seen = this.samples.slice(first)
    pen.lineJoin = "round"
    for (const [n, name, wide] of [[2, "bed", 1.5], [1, "tool", 2.2]]) {
      pen.strokeStyle = ink(name)
      pen.lineWidth = wide
      line(pen, seen.map(s => [x(s[0]), y(s[n])]))
    }

    // lanes
    let top = TOP + plot + LANES.gap
    pen.fillStyle = ink("soft")
    pen.fillRect(LEFT, top, width - LEFT, LANES.job)
    pen.fillStyle = ink("job")
    seen.forEach((s, n) => {
      if (s[4] == null) return
      const end = seen[n + 1]?.[0] ?? now, tall = Math.max(1, s[4] / 100 * LANES.job)
      pen.fillRect(x(s[0]), top + LANES.job - tall, x(end) - x(s[0]) + 0.5, tall)
    })
    top += LANES.job + LANES.gap
    pen.textAlign = "left"
    this.bands(this.states, begin, now, (state, from, to) => {
      const name = this.alias(state)
      pen.fillStyle = ink(name) || ink("soft")
      pen.beginPath()
      pen.roundRect(x(from) + 0.5, top, Math.max(1, x(to) - x(from) - 1), LANES.state, 4)
      pen.fill()
      if (x(to) - Math.max(LEFT, x(from)) > pen.measureText(name).width + 10) {
        pen.fillStyle = matchMedia("(prefers-color-scheme: dark)").matches ? "#fff" : "#14161a"
        pen.fillText(name, Math.max(LEFT, x(from)) + 6, top + LANES.state / 2 + 0.5)
      }
    })
    top += LANES.state + LANES.gap
    pen.fillStyle = ink("soft")
    pen.fillRect(LEFT, top, width - LEFT, LANES.relay)
    pen.fillStyle = ink("red")
    this.bands(this.relay, begin, now, (on, from, to) => {
      if (on) pen.fillRect(x(from), top, Math.max(1, x(to) - x(from)), LANES.relay)
    })
    if (this.pointer != null && this.pointer > LEFT) {
      pen.strokeStyle = ink("ink")
      pen.lineWidth = 1
      line(pen, [[this.pointer, 0], [this.pointer, height - FOOT]])
    }
    pen.restore()
    this.tell(begin, now, width)
  }

  // Calls `each(value, from, to)` for what `list` says from begin to now.
  bands(list, begin, now, each) {
    list.forEach(([ms, value], n) => {
      const end = list[n + 1]?.[0] ?? now
      if (end > begin) each(value, Math.max(ms, begin - 1000), end)
    })
  }

  tell(begin, now, width) {
    const last = this.samples[this.samples.length - 1]
    let at = now
    const parts = []
    if (this.pointer > LEFT) at = begin + (this.pointer - LEFT) / (width - LEFT) * (now - begin)
    const s = this.samples.findLast(s => s[0] <= at) ?? (this.pointer ? null : last)
    const state = this.states.findLast(s => s[0] <= at), relay = this.relay.findLast(r => r[0] <= at)
    if (s) parts.push(`nozzle ${s[1].toFixed(0)} °C`, `bed ${s[2].toFixed(0)} °C`)
    if (s?.[4] != null) parts.push(`job ${s[4].toFixed(0)} %`)
    if (state) parts.push(this.alias(state[1]))
    parts.push(`relay ${relay?.[1] ? "on" : "off"}`)
    const when = this.pointer > LEFT ? `${((now - at) / 1000).toFixed(0)} s ago: ` : ""
    this.read.textContent = when + parts.join(", ")
    this.canvas.setAttribute("aria-label", "Temperatures, job, states and relay over time. " + this.read.textContent)
  }
}

function line(pen, points) {
  pen.beginPath()
  points.forEach(([x, y], n) => n ? pen.lineTo(x, y) : pen.moveTo(x, y))
  pen.stroke()
}
