// The stories: a shelf of them, and the one that plays.

const at = id => document.getElementById(id)

export class Stories {
  // `post(path, data)` as in main.js.
  constructor(post) {
    this.post = post
    this.all = new Map()
    at("again").addEventListener("click", () => this.play(this.name))
    at("leave").addEventListener("click", async () => {
      await post("/api/play", {stop: true})
      this.close()
    })
  }

  // What /api/page has of them.
  table(about) {
    this.all = new Map(about.stories.map(story => [story.name, story]))
    at("nostories").hidden = !about.why_not
    at("nostories").textContent = about.why_not ? `None here: ${about.why_not}.` : ""
    at("shelf").hidden = !!about.why_not || !at("story").hidden
    const shelves = {titles: [], faults: []}
    // Fault 4 and 6 are told where they belong, in stories of their own right.
    for (const story of about.stories) {
      const button = document.createElement("button"), item = document.createElement("li")
      button.type = "button"
      button.textContent = story.title
      button.dataset.story = story.name
      button.addEventListener("click", () => this.play(story.name))
      item.append(button)
      shelves[story.other ? "faults" : "titles"].push(item)
    }
    for (const [id, items] of Object.entries(shelves)) at(id).replaceChildren(...items)
    if (about.story?.state == "playing") this.show(about.story)
  }

  async play(name) {
    this.open(name)
    at("storytitle").focus({preventScroll: true})
    await this.post("/api/play", {scenario: name})
  }

  open(name) {
    const story = this.all.get(name)
    this.name = name
    at("story").hidden = false
    at("shelf").hidden = true
    at("storytitle").textContent = story.title
    at("watch").textContent = story.watch
    at("steps").replaceChildren(...story.steps.map(text => {
      const item = document.createElement("li"), words = document.createElement("span")
      words.textContent = text
      item.append(words)
      return item
    }))
    at("verdict").textContent = ""
    at("theirs").textContent = story.fault ? `OctoPlugout 4.6 here: ${story.fault.text}` : ""
  }

  close() {
    at("story").hidden = true
    at("shelf").hidden = false
    at("titles").querySelector("button")?.focus()
  }

  // What the event "story" says.
  show({name, step, state, wrong}) {
    if (!this.all.has(name)) return
    if (state != "playing" && at("story").hidden) return // left already
    if (this.name != name || at("story").hidden) this.open(name)
    const over = state != "playing"
    ;[...at("steps").children].forEach((item, n) => {
      item.className = n < step || state == "passed" ? "done" : n == step && !over ? "now" : ""
      item.toggleAttribute("aria-current", item.className == "now")
    })
    at("again").textContent = over ? "Play again" : "From the beginning"
    at("verdict").className = "ours " + state
    at("verdict").textContent = {
      playing: "",
      stopped: "Left before its end.",
      passed: "This one: as it must be. No living Pi and no print lost its power.",
      failed: "Not as it must be: " + wrong.join("; ") + ".",
    }[state]
  }
}
