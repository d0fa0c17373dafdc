/** One call for the checker. `returnedAt` Infinity: the outcome is unknown; it may take effect at any time from the call on, or never. */
export interface Call<Input> {
  readonly invokedAt: number
  readonly returnedAt: number
  readonly input: Input
}

/** A sequential object. States are values: `step` gives new ones. */
export interface Model<State, Input> {
  readonly initial: State
  /** The states that may follow when `input` takes effect and gives its observed output; none when it cannot. */
  step(state: State, input: Input): readonly State[]
  /** Equal for states that no call can tell apart. */
  keyOf(state: State): string
}

export type Verdict =
  | { readonly kind: 'linearizable' }
  /** `longest`: the longest order that is legal, as positions in the history; `stuck`: a call that fits nowhere behind it. */
  | { readonly kind: 'violation'; readonly longest: readonly number[]; readonly stuck: number }
  /** The search was given up after so many steps. */
  | { readonly kind: 'undecided'; readonly steps: number }

interface Choice<State> {
  readonly call: number
  /** States still to try for this call. */
  readonly states: readonly State[]
  nextState: number
}

/**
 * The search of Wing and Gong with Lowe's memoisation: try each call that no other unfinished call precedes, and never look twice
 * at the same pair of (calls done, state).
 */
export function checkLinearizable<State, Input>(
  history: readonly Call<Input>[],
  model: Model<State, Input>,
  stepsMax: number,
): Verdict {
  return new Search(history, model, stepsMax).run()
}

class Search<State, Input> {
  private readonly calls: readonly { readonly at: number; readonly call: Call<Input> }[]
  private readonly model: Model<State, Input>
  private readonly stepsMax: number
  private readonly done: Uint8Array
  private readonly seen = new Set<string>()
  private readonly path: { readonly position: number; readonly before: State }[] = []
  private longest: number[] = []
  private mandatory = 0
  private steps = 0

  constructor(history: readonly Call<Input>[], model: Model<State, Input>, stepsMax: number) {
    // Sorted by their beginnings: the calls that may come next are found in front.
    this.calls = history
      .map((call, at) => ({ at, call }))
      .sort((a, b) => a.call.invokedAt - b.call.invokedAt || a.at - b.at)
    this.model = model
    this.stepsMax = stepsMax
    this.done = new Uint8Array(history.length)
    for (const { call } of this.calls) if (call.returnedAt !== Infinity) this.mandatory += 1
  }

  run(): Verdict {
    let state = this.model.initial
    const choices: { readonly list: readonly Choice<State>[]; at: number }[] = [{ list: this.choicesAt(state), at: 0 }]
    for (;;) {
      if (this.mandatory === 0) return { kind: 'linearizable' }
      if (this.steps > this.stepsMax) return { kind: 'undecided', steps: this.steps }
      const top = choices.at(-1)
      if (top === undefined) return this.violation()
      const next = this.take(top)
      if (next !== null) {
        this.path.push({ position: next.call, before: state })
        state = next.state
        choices.push({ list: this.choicesAt(state), at: 0 })
        continue
      }
      choices.pop()
      const undone = this.path.pop()
      if (undone === undefined) return this.violation()
      state = undone.before
      this.mark(undone.position, false)
    }
  }

  /** The next call and state that were not seen yet; the call is marked as done. */
  private take(choices: {
    readonly list: readonly Choice<State>[]
    at: number
  }): { call: number; state: State } | null {
    while (choices.at < choices.list.length) {
      const choice = choices.list[choices.at]
      const state = choice?.states[choice.nextState]
      if (choice === undefined || state === undefined) {
        choices.at += 1
        continue
      }
      choice.nextState += 1
      this.steps += 1
      this.mark(choice.call, true)
      const name = `${this.doneName()}|${this.model.keyOf(state)}`
      if (!this.seen.has(name)) {
        this.seen.add(name)
        if (this.path.length + 1 > this.longest.length) {
          this.longest = [...this.path.map(({ position }) => position), choice.call]
        }
        return { call: choice.call, state }
      }
      this.mark(choice.call, false)
    }
    return null
  }

  /** Calls that may take effect next: those begun before any other call that is not done has returned. Sure ones first. */
  private choicesAt(state: State): Choice<State>[] {
    let bound = Infinity
    const open: number[] = []
    for (const [position, { call }] of this.calls.entries()) {
      if (call.invokedAt > bound) break
      if (this.done[position] === 1) continue
      open.push(position)
      bound = Math.min(bound, call.returnedAt)
    }
    const sure: Choice<State>[] = []
    const unsure: Choice<State>[] = []
    for (const position of open) {
      const call = this.calls[position]?.call
      if (call === undefined || call.invokedAt > bound) continue
      const choice = { call: position, states: this.model.step(state, call.input), nextState: 0 }
      if (call.returnedAt === Infinity) unsure.push(choice)
      else sure.push(choice)
    }
    return [...sure, ...unsure]
  }

  private mark(position: number, done: boolean): void {
    this.done[position] = done ? 1 : 0
    if (this.calls[position]?.call.returnedAt !== Infinity) this.mandatory += done ? -1 : 1
  }

  private doneName(): string {
    // Everything before the first open call is done: only what follows tells two sets apart.
    const first = this.done.indexOf(0)
    if (first === -1) return 'all'
    const last = this.done.lastIndexOf(1)
    return last < first ? `${first}` : `${first}:${Buffer.from(this.done.subarray(first, last + 1)).toString('latin1')}`
  }

  private violation(): Verdict {
    const inPath = new Set(this.longest)
    const stuck = this.calls.findIndex(({ call }, position) => !inPath.has(position) && call.returnedAt !== Infinity)
    const positionOf = (position: number): number => this.calls[position]?.at ?? -1
    return { kind: 'violation', longest: this.longest.map(positionOf), stuck: positionOf(stuck) }
  }
}
