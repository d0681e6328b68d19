// The state diagram, drawn from the firmware's table: the present state is lit, ways that lead on
// from it stand out, the way taken last flows.

const NS = "http://www.w3.org/2000/svg"

// Where a state stands: with room beside each other, and without. The evening goes round.
const WIDE = {
  size: [664, 420], box: [142, 56],
  at: {
    Waiting: [74, 32], Connected: [246, 32], Started: [418, 32], Armed: [590, 32],
    Switched_ON: [160, 210], Going: [418, 210],
    Relay_off: [74, 388], Countdown: [246, 388], Asking: [418, 388], Cooling: [590, 388],
  },
}
const NARROW = {
  size: [360, 500], box: [150, 54],
  at: {
    Waiting: [82, 32], Connected: [82, 134], Started: [82, 236], Armed: [82, 338],
    Relay_off: [278, 32], Countdown: [278, 134], Asking: [278, 236], Cooling: [278, 338],
    Switched_ON: [82, 462], Going: [278, 462],
  },
}
const EVENING = "Waiting Connected Started Armed Cooling Asking Countdown Relay_off".split(" ")

function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(NS, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

export class Diagram {
  constructor(element) {
    this.element = element
    this.states = []
    this.plan = null
    new ResizeObserver(() => this.draw()).observe(element)
  }

  // `states` and `rows` as /api/page has them.
  table(states, rows) {
    this.states = states
    this.ways = new Map()
    const from = row => row.from == "any on-state" ? [] : [row.from]
    for (const row of rows)
      for (const start of from(row))
        for (const end of row.aims)
          if (start != end) this.ways.set(start + " " + end, [start, end])
    this.plan = null
    this.draw()
  }

  draw() {
    const plan = this.element.clientWidth < 540 ? NARROW : WIDE
    if (!this.states.length || plan == this.plan) return
    this.plan = plan
    const [width, height] = plan.size
    const svg = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": "diagramtitle"})
    this.title = make("title", {id: "diagramtitle"})
    const tip = make("path", {d: "M0 0L7 3.5L0 7z", class: "tip"})
    const marker = make("marker", {id: "tip", viewBox: "0 0 7 7", refX: 6, refY: 3.5, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto"}, tip)
    svg.append(this.title, make("defs", {}, marker))
    this.lines = new Map()
    for (const [key, [start, end]] of this.ways) {
      const line = make("path", {d: way(plan, start, end), class: "way"})
      if (EVENING.indexOf(end) - EVENING.indexOf(start) == 1 && EVENING.includes(start)) line.classList.add("evening")
      this.lines.set(key, line)
      svg.append(line)
    }
    this.nodes = new Map()
    for (const {name, means} of this.states) {
      const [x, y] = plan.at[name], [w, h] = plan.box
      const node = make("g", {class: "node" + (name == "Relay_off" ? " off" : ""), id: "node-" + name},
        make("rect", {x: x - w / 2, y: y - h / 2, width: w, height: h, rx: 13}),
        make("text", {x, y: y - 3}, name), make("text", {x, y: y + 14, class: "means"}, means))
      this.nodes.set(name, node)
      svg.append(node)
    }
    this.element.replaceChildren(svg)
    this.show(this.now, this.last)
  }

  // `now`: the short name of the present state, null for none; `last`: [from, to] of the way taken.
  show(now, last) {
    this.now = now
    this.last = last
    if (!this.nodes) return
    this.title.textContent = `State diagram; the plug is in ${now ?? "no state"}`
    const may = new Set()
    for (const [key, [start, end]] of this.ways) {
      const line = this.lines.get(key)
      if (start == now) may.add(end)
      line.classList.toggle("may", start == now)
      line.classList.toggle("last", !!last && last[0] == start && last[1] == end)
      if (start == now || line.classList.contains("last")) line.parentNode.insertBefore(line, this.nodes.values().next().value)
    }
    for (const [name, node] of this.nodes) {
      node.classList.toggle("now", name == now)
      node.classList.toggle("may", may.has(name))
    }
  }
}

// A bow from box to box, a little to its right, so that there and back do not meet.
function way(plan, start, end) {
  const [w, h] = plan.box, [x1, y1] = plan.at[start], [x2, y2] = plan.at[end]
  const dx = x2 - x1, dy = y2 - y1, length = Math.hypot(dx, dy), nx = -dy / length, ny = dx / length
  const out = (x, y, sx, sy) => {
    const scale = Math.min(sx ? (w / 2 + 3) / Math.abs(sx) : 1e9, sy ? (h / 2 + 3) / Math.abs(sy) : 1e9)
    return [x + sx * scale + nx * 7, y + sy * scale + ny * 7]
  }
  const [ax, ay] = out(x1, y1, dx, dy), [bx, by] = out(x2, y2, -dx, -dy)
  const far = length > 1.6 * Math.max(plan.at.Connected[0] - plan.at.Waiting[0], plan.at.Connected[1] - plan.at.Waiting[1])
  const bend = far ? 26 : 6
  const [cx, cy] = [(ax + bx) / 2 + nx * bend, (ay + by) / 2 + ny * bend]
  return `M${ax.toFixed(1)} ${ay.toFixed(1)}Q${cx.toFixed(1)} ${cy.toFixed(1)} ${bx.toFixed(1)} ${by.toFixed(1)}`
}
