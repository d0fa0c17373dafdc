/** One call for the checker. `returnedAt` Infinity: the outcome is unknown. The call may take effect at any later time, or never. */
export interface Call<Input> {
  readonly invokedAt: number
  readonly returnedAt: number
  readonly input: Input
  /**
   * The assumed position of the call in the order; Infinity when it probably never took effect. It only decides the order of
   * the search: a wrong assumption costs time and never changes the result.
   */
  readonly belief: number
}

/** A sequential object. States are values: `step` returns new ones. */
export interface Model<State, Input> {
  readonly initial: State
  /** The possible states after `input` takes effect with its observed output; none when it cannot. */
  step(state: State, input: Input): readonly State[]
  /** Equal for states that no call can distinguish. */
  keyOf(state: State): string
}

export type Verdict =
  | { readonly kind: 'linearizable' }
  /** `longest`: the longest legal order, as positions in the history. `stuck`: a call that fits nowhere after it. */
  | { readonly kind: 'violation'; readonly longest: readonly number[]; readonly stuck: number }
  /** The search was abandoned after this many steps. */
  | { readonly kind: 'undecided'; readonly steps: number }

interface Choice<State> {
  readonly position: number
  /** The states that are still to be tried for this call; null before its turn. */
  states: readonly State[] | null
  nextState: number
}

interface Choices<State> {
  readonly list: readonly Choice<State>[]
  at: number
}

/**
 * The search of Wing and Gong with Lowe's memoisation. It tries each call that no other unfinished call precedes, and examines
 * each pair (finished calls, state) only once.
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
  /** One bit for each call, set when it is finished. */
  private readonly done: Buffer
  /** For each finished call of the path, the highest position of those up to it. */
  private readonly reached: number[] = []
  /** The unfinished calls, linked in the order of their starts. Position n stands for both ends. */
  private readonly following: Int32Array
  private readonly preceding: Int32Array
  /**
   * Pairs that led nowhere. A pair on the current path cannot occur again before the path is left, because every step finishes
   * one more call.
   */
  private readonly dead = new Set<string>()
  private readonly path: { readonly position: number; readonly before: State }[] = []
  private longest: number[] = []
  private mandatory = 0
  private steps = 0

  constructor(history: readonly Call<Input>[], model: Model<State, Input>, stepsMax: number) {
    // Sorted by start time, so the calls that may come next are at the front.
    this.calls = history
      .map((call, at) => ({ at, call }))
      .sort((a, b) => a.call.invokedAt - b.call.invokedAt || a.at - b.at)
    this.model = model
    this.stepsMax = stepsMax
    const count = history.length
    this.done = Buffer.alloc((count + 7) >> 3)
    this.following = Int32Array.from({ length: count + 1 }, (_, position) => (position === count ? 0 : position + 1))
    this.preceding = Int32Array.from({ length: count + 1 }, (_, position) => (position === 0 ? count : position - 1))
    for (const { call } of this.calls) if (call.returnedAt !== Infinity) this.mandatory += 1
  }

  run(): Verdict {
    let state = this.model.initial
    const levels: Choices<State>[] = [this.choices()]
    for (;;) {
      if (this.mandatory === 0) return { kind: 'linearizable' }
      if (this.steps > this.stepsMax) return { kind: 'undecided', steps: this.steps }
      const top = levels.at(-1)
      if (top === undefined) return this.violation()
      const next = this.take(top, state)
      if (next !== null) {
        this.path.push({ position: next.position, before: state })
        state = next.state
        levels.push(this.choices())
        continue
      }
      levels.pop()
      const undone = this.leave(state)
      if (undone === null) return this.violation()
      state = undone.before
    }
  }

  /** The next call and state that may lead somewhere. The call is marked as finished. */
  private take(choices: Choices<State>, from: State): { position: number; state: State } | null {
    for (; choices.at < choices.list.length; choices.at += 1) {
      const choice = choices.list[choices.at]
      const call = choice === undefined ? undefined : this.calls[choice.position]?.call
      if (choice === undefined || call === undefined) continue
      choice.states ??= this.model.step(from, call.input)
      for (let state = choice.states[choice.nextState]; state !== undefined; state = choice.states[choice.nextState]) {
        choice.nextState += 1
        this.steps += 1
        this.mark(choice.position)
        if (this.dead.size === 0 || !this.dead.has(this.name(state))) return { position: choice.position, state }
        this.unmark(choice.position)
      }
    }
    return null
  }

  /** Goes back one step from `state`, which leads nowhere. */
  private leave(state: State): { before: State } | null {
    if (this.path.length > this.longest.length) this.longest = this.path.map(({ position }) => position)
    this.dead.add(this.name(state))
    const undone = this.path.pop()
    if (undone === undefined) return null
    this.unmark(undone.position)
    return undone
  }

  /** Calls that may take effect next: those that started before any other unfinished call returned. */
  private choices(): Choices<State> {
    const end = this.calls.length
    let bound = Infinity
    const open: { position: number; call: Call<Input> }[] = []
    for (let position = this.following[end] ?? end; position !== end; position = this.following[position] ?? end) {
      const call = this.calls[position]?.call
      if (call === undefined || call.invokedAt > bound) break
      open.push({ position, call })
      bound = Math.min(bound, call.returnedAt)
    }
    const list = open
      .filter(({ call }) => call.invokedAt <= bound)
      .sort((a, b) => compare(a.call.belief, b.call.belief) || compare(a.call.returnedAt, b.call.returnedAt))
      .map(({ position }) => ({ position, states: null, nextState: 0 }))
    return { list, at: 0 }
  }

  private mark(position: number): void {
    this.flip(position)
    this.reached.push(Math.max(position, this.reached.at(-1) ?? 0))
    const before = this.preceding[position] ?? 0
    const after = this.following[position] ?? 0
    this.following[before] = after
    this.preceding[after] = before
    if (this.calls[position]?.call.returnedAt !== Infinity) this.mandatory -= 1
  }

  /** Must be called in the reverse order of `mark`: only then are the links that the call kept correct. */
  private unmark(position: number): void {
    this.flip(position)
    this.reached.pop()
    this.following[this.preceding[position] ?? 0] = position
    this.preceding[this.following[position] ?? 0] = position
    if (this.calls[position]?.call.returnedAt !== Infinity) this.mandatory += 1
  }

  private flip(position: number): void {
    const at = position >> 3
    this.done[at] = (this.done[at] ?? 0) ^ (1 << (position & 7))
  }

  private name(state: State): string {
    return `${this.doneName()}|${this.model.keyOf(state)}`
  }

  /** The finished calls: all before the first byte that has an unfinished one, those of the bytes that it lists, and none after these. */
  private doneName(): string {
    const from = (this.following[this.calls.length] ?? 0) >> 3
    const to = Math.max(from, ((this.reached.at(-1) ?? 0) >> 3) + 1)
    return `${from}.${to}:${this.done.toString('latin1', from, to)}`
  }

  private violation(): Verdict {
    const inPath = new Set(this.longest)
    const stuck = this.calls.findIndex(({ call }, position) => !inPath.has(position) && call.returnedAt !== Infinity)
    const positionOf = (position: number): number => this.calls[position]?.at ?? -1
    return { kind: 'violation', longest: this.longest.map(positionOf), stuck: positionOf(stuck) }
  }
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a - b
}
