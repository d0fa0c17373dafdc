/** A script that cannot be understood or carried out. The runner adds the file and the line. */
export class ScriptError extends Error {}

/** Ordered pairs of nodes: `1->2`, `1,2<->3`, `*->2`, `all`. */
export type Links = (from: number, to: number) => boolean

/** The words of one command after its name, taken from left to right. Everything must be taken: `end` is called by the runner. */
export class Words {
  private readonly words: string[]

  constructor(words: readonly string[]) {
    this.words = [...words]
  }

  get more(): boolean {
    return this.words.length > 0
  }

  next(what: string): string {
    const word = this.words.shift()
    if (word === undefined) throw new ScriptError(`${what} is missing`)
    return word
  }

  /** All that is left. */
  rest(): string[] {
    return this.words.splice(0)
  }

  node(): number {
    return parseNode(this.next('a node'))
  }

  /** `1 2 3`: at least one, to the end. */
  nodes(): number[] {
    const nodes = this.rest().map(parseNode)
    if (nodes.length === 0) throw new ScriptError('nodes are missing')
    if (new Set(nodes).size !== nodes.length) throw new ScriptError('a node is named twice')
    return nodes
  }

  /** `1,2,3`. */
  nodeList(): number[] {
    return this.next('a list of nodes').split(',').map(parseNode)
  }

  integer(what: string): number {
    return parseInteger(this.next(what), what)
  }

  durationMs(): number {
    const word = this.next('a duration')
    if (!/^\d+ms$/.test(word)) throw new ScriptError(`"${word}" is not a duration like 100ms`)
    return Number(word.slice(0, -2))
  }

  links(): Links {
    return parseLinks(this.next('a link'))
  }

  /** Takes `word` wherever it stands. */
  flag(word: string): boolean {
    const at = this.words.indexOf(word)
    if (at >= 0) this.words.splice(at, 1)
    return at >= 0
  }

  /** Takes `name=value` wherever it stands. */
  option(name: string): string | null {
    const at = this.words.findIndex((word) => word.startsWith(`${name}=`))
    return at < 0 ? null : (this.words.splice(at, 1)[0] ?? '').slice(name.length + 1)
  }

  integerOption(name: string): number | null {
    const value = this.option(name)
    return value === null ? null : parseInteger(value, name)
  }

  end(): void {
    if (this.words.length > 0) throw new ScriptError(`"${this.words.join(' ')}" is not understood`)
  }
}

function parseNode(word: string): number {
  if (!/^[1-9]\d*$/.test(word)) throw new ScriptError(`"${word}" is not a node`)
  return Number(word)
}

export function parseInteger(word: string, what: string): number {
  if (!/^-?\d+$/.test(word)) throw new ScriptError(`"${word}" is not a number (${what})`)
  return Number(word)
}

function parseLinks(word: string): Links {
  if (word === 'all') return () => true
  const [, left = '', arrow, right = ''] = /^([\d,*]+)(->|<->)([\d,*]+)$/.exec(word) ?? []
  if (arrow === undefined) throw new ScriptError(`"${word}" is not a link like 1->2, 1<->2, *->2, 1,2<->3 or all`)
  const [from, to] = [parseEnd(left), parseEnd(right)]
  return (a, b) => (from(a) && to(b)) || (arrow === '<->' && from(b) && to(a))
}

function parseEnd(word: string): (id: number) => boolean {
  if (word === '*') return () => true
  const ids = word.split(',').map(parseNode)
  return (id) => ids.includes(id)
}
