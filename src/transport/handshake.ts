import type { Clock } from '../ports/clock.ts'
import type { Hello, HelloAnswer, Refusal, TransportHandlers } from '../ports/transport.ts'
import type { NodeId } from '../raft/index.ts'
import type { Channel, Network } from './channel.ts'
import { PROTOCOL_VERSION } from './frame-header.ts'

export type HandshakeOutcome =
  /** The caller owns the channel from now on and must call `listen` at once. */
  | { readonly kind: 'answered'; readonly channel: Channel; readonly answer: HelloAnswer }
  /** Nobody listens at the address. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'failed'; readonly detail: string }

export interface HandshakeRequest {
  readonly address: string
  readonly hello: Hello
  readonly connectTimeoutMs: number
  /** The time from the start to the answer. */
  readonly timeoutMs: number
}

/**
 * The dialling side: connects, sends a hello, waits for the answer. Calls `onOutcome` once, never from within this call.
 * Returns a function that cancels; after it, nothing is called.
 */
export function shakeHands(
  request: HandshakeRequest,
  { network, clock }: { readonly network: Network; readonly clock: Clock },
  onOutcome: (outcome: HandshakeOutcome) => void,
): () => void {
  const deadline = clock.now() + request.timeoutMs
  const connectTimeoutMs = Math.min(request.connectTimeoutMs, request.timeoutMs)
  let cancel = network.dial(request.address, connectTimeoutMs, (dialled) => {
    if (dialled.kind !== 'connected') return onOutcome(dialled)
    const { channel } = dialled
    let settled = false
    const settle = (outcome: HandshakeOutcome): void => {
      if (settled) return
      settled = true
      cancelTimeout()
      onOutcome(outcome)
    }
    const fail = (kind: 'malformed' | 'closed', detail: string): void => {
      channel.close(kind, detail)
      settle({ kind: 'failed', detail })
    }
    const cancelTimeout = clock.after(Math.max(0, deadline - clock.now()), () => {
      fail('closed', `${request.address} did not answer the hello within ${request.timeoutMs} ms`)
    })
    cancel = () => {
      settled = true
      cancelTimeout()
      channel.close('closed', 'the attempt was given up')
    }
    channel.listen({
      onFrame(frame) {
        if (frame.type !== 'hello-answer')
          return fail('malformed', `a ${frame.type} came in place of the answer to the hello`)
        settle({ kind: 'answered', channel, answer: frame.answer })
      },
      onDrained: () => undefined,
      onClosed: (reason) => settle({ kind: 'failed', detail: `no answer to the hello: ${reason.detail}` }),
    })
    channel.send({ type: 'hello', hello: request.hello })
  })
  return () => cancel()
}

/** The dialling side's decision on the answer: null when `peer` is the expected node and both sides accept each other. */
export function judgeAnswer(answer: HelloAnswer, peer: NodeId, handlers: TransportHandlers): Refusal | null {
  if (answer.kind === 'refused') return answer.refusal
  if (answer.report.id !== peer) {
    return { code: 'wrong-node', detail: `node ${answer.report.id} answers at the address of node ${peer}` }
  }
  return handlers.admitReport(peer, answer.report)
}

/** The accepting side's answer. A probe gets all the information in this answer; nothing follows. */
export function answerHello(
  hello: Hello,
  channel: Pick<Channel, 'objectionTo'>,
  id: NodeId,
  handlers: TransportHandlers,
): HelloAnswer {
  if (hello.protocol !== PROTOCOL_VERSION) {
    const detail = `node ${id} speaks protocol ${PROTOCOL_VERSION}, not ${hello.protocol}: run versions that are compatible`
    return { kind: 'refused', refusal: { code: 'wrong-protocol', detail }, report: null }
  }
  const objection = hello.addresses.raft === '' ? null : channel.objectionTo(hello.addresses.raft)
  if (objection !== null) {
    return { kind: 'refused', refusal: { code: 'wrong-certificate', detail: objection }, report: null }
  }
  const refusal = refuseSender(hello, id) ?? handlers.admit(hello)
  const report = handlers.report()
  return refusal === null ? { kind: 'welcome', report } : { kind: 'refused', refusal, report }
}

function refuseSender(hello: Hello, id: NodeId): Refusal | null {
  if (hello.purpose === 'probe') return null
  if (hello.from === 0 || hello.to === 0) {
    return { code: 'bad-hello', detail: 'only a node with an id may connect, and only to a node it names' }
  }
  // Its certificate is for an address (`objectionTo`), and so are the checks for two processes under one id.
  if (hello.addresses.raft === '') {
    return { code: 'bad-hello', detail: `node ${hello.from} does not say where it is: only a probe may leave that out` }
  }
  if (hello.from === id) {
    return {
      code: 'self',
      detail: `node ${id} was dialled by node ${id}: two nodes have the same id, or one has its own address in place of a peer's`,
    }
  }
  if (hello.to !== id) return { code: 'wrong-node', detail: `this is node ${id}, not node ${hello.to}` }
  return null
}
