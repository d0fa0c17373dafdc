import { createServer, connect, type Server, type Socket } from 'node:net'
import { FrameSplitter } from '../../../src/transport/frame-splitter.ts'
import type { Owner } from '../../support/temporary-directory.ts'

/**
 * The treatment of everything that one node sends to another. `open`: it is passed on after `delayMs`. `stalled`: it is kept
 * until the link opens, as in a network that loses every packet while senders retry. `cut`: connections are closed and no new
 * ones are accepted.
 */
export type LinkRule =
  { readonly kind: 'open'; readonly delayMs: number } | { readonly kind: 'stalled' } | { readonly kind: 'cut' }

const open: LinkRule = { kind: 'open', delayMs: 0 }

/** A hello has some hundred bytes. */
const helloBytesMax = 64 * 1024

/**
 * A proxy in front of the raft port of every node. A node sends to a peer over the connection that it has opened, and
 * identifies itself in its first frame. Therefore each directed pair of nodes is a link of its own.
 */
export class PeerLinks {
  private readonly rules = new Map<string, LinkRule>()
  private readonly passages = new Set<Passage>()
  private readonly servers: Server[] = []

  constructor(owner: Owner) {
    owner.teardown(async () => {
      for (const passage of this.passages) passage.close()
      await Promise.all(this.servers.map(async (server) => await new Promise((resolve) => server.close(resolve))))
    })
  }

  /** Listens on `port` in front of node `to`, and passes connections on to `target`. */
  async listen(to: number, port: number, target: number): Promise<void> {
    const server = createServer((socket) => {
      const passage = new Passage({ to, target }, socket, {
        ruleOf: (from) => this.rule(from, to),
        onClosed: () => this.passages.delete(passage),
      })
      this.passages.add(passage)
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    this.servers.push(server)
  }

  set(from: number, to: number, rule: LinkRule): void {
    this.rules.set(`${from}>${to}`, rule)
    for (const passage of this.passages) if (passage.from === from && passage.to === to) passage.obey(rule)
  }

  /** Nothing passes between the two groups, in either direction. */
  part(left: readonly number[], right: readonly number[], rule: LinkRule = { kind: 'stalled' }): void {
    for (const one of left) {
      for (const other of right) {
        this.set(one, other, rule)
        this.set(other, one, rule)
      }
    }
  }

  /** Breaks every existing connection to and from node `id`; new ones are accepted at once. Returns how many broke. */
  reset(id: number): number {
    const passages = [...this.passages].filter(({ from, to }) => from === id || to === id)
    for (const passage of passages) passage.close()
    return passages.length
  }

  heal(): void {
    this.rules.clear()
    for (const passage of this.passages) passage.obey(open)
  }

  private rule(from: number, to: number): LinkRule {
    return this.rules.get(`${from}>${to}`) ?? open
  }
}

interface Parcel {
  readonly readyAt: number
  readonly into: Socket
  readonly bytes: Buffer
}

/** One connection from a node to a peer, with its two halves. */
class Passage {
  readonly to: number
  /** 0 until the node has identified itself. */
  from = 0
  private readonly near: Socket
  private readonly target: number
  private readonly ruleOf: (from: number) => LinkRule
  private readonly onClosed: () => void
  private readonly splitter = new FrameSplitter(helloBytesMax)
  private readonly waiting: Parcel[] = []
  private far: Socket | null = null
  private opening: Buffer[] | null = []
  private rule: LinkRule = open
  private timer: NodeJS.Timeout | null = null

  constructor(
    place: { readonly to: number; readonly target: number },
    near: Socket,
    dependencies: { readonly ruleOf: (from: number) => LinkRule; readonly onClosed: () => void },
  ) {
    this.to = place.to
    this.target = place.target
    this.near = near
    this.ruleOf = dependencies.ruleOf
    this.onClosed = dependencies.onClosed
    near.setNoDelay(true)
    near.on('data', (bytes) => this.onBytes(bytes))
    near.on('error', () => this.close())
    near.on('close', () => this.close())
  }

  obey(rule: LinkRule): void {
    this.rule = rule
    if (rule.kind === 'cut') this.close()
    else this.pass()
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.near.destroy()
    this.far?.destroy()
    this.onClosed()
  }

  private onBytes(bytes: Buffer): void {
    if (this.opening === null) return this.forward(bytes, this.far)
    this.opening.push(bytes)
    const from = this.readSender(bytes)
    if (from === null) return
    this.from = from
    const far = connect(this.target, '127.0.0.1')
    this.far = far
    far.setNoDelay(true)
    far.on('data', (answer) => this.forward(answer, this.near))
    far.on('error', () => this.close())
    far.on('close', () => this.close())
    const opening = this.opening
    this.opening = null
    this.obey(this.ruleOf(from))
    for (const part of opening) this.forward(part, far)
  }

  /** Null while the hello is incomplete. Bytes that are no hello at all count as sent by nobody. */
  private readSender(bytes: Buffer): number | null {
    this.splitter.push(bytes)
    const frame = this.splitter.next()
    if (frame === null) return null
    return frame.type === 'hello' ? frame.hello.from : 0
  }

  private forward(bytes: Buffer, into: Socket | null): void {
    if (into === null) return
    const delayMs = this.rule.kind === 'open' ? this.rule.delayMs : 0
    this.waiting.push({ readyAt: performance.now() + delayMs, into, bytes })
    this.pass()
  }

  /** Passes pieces on in the order of arrival: a connection never reorders. */
  private pass(): void {
    if (this.rule.kind !== 'open' || this.timer !== null) return
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      const early = next.readyAt - performance.now()
      if (early > 0) {
        this.timer = setTimeout(() => {
          this.timer = null
          this.pass()
        }, early)
        return
      }
      this.waiting.shift()
      next.into.write(next.bytes)
    }
  }
}
