import {
  branchFaults,
  type Compare,
  type IdempotencyTag,
  type Key,
  type TransactionCommand,
} from '../../../src/kv/index.ts'
import type { Draw } from '../world/draw.ts'

type Operation = TransactionCommand['success'][number]

export interface TransactionDraw {
  readonly random: Draw
  readonly key: () => Key
  readonly range: () => [Key | null, Key | null]
  /** The last revision of a key that the client has seen. */
  readonly seen: (key: Key) => number | undefined
  /** The value that it writes: no other operation of any client writes it. */
  readonly value: () => Uint8Array
}

const COMPARES_MAX = 3
const OPERATIONS_MAX = 4

export function drawTransaction(draw: TransactionDraw, idempotency: IdempotencyTag | null): TransactionCommand {
  const { random } = draw
  const value = draw.value()
  return {
    type: 'transaction',
    compares: Array.from({ length: random.integer(0, COMPARES_MAX) }, () => drawCompare(draw)),
    success: drawBranch(draw, value),
    failure: random.chance(0.3) ? [] : drawBranch(draw, value),
    idempotency,
  }
}

function drawCompare({ random, key, seen }: TransactionDraw): Compare {
  const about = { key: key(), operator: random.pick(['=', '!=', '<', '>'] as const) }
  const target = random.pick(['value', 'version', 'create-revision', 'mod-revision', 'mod-revision'] as const)
  switch (target) {
    case 'value':
      return { ...about, target, value: Buffer.from(`c${random.integer(0, 6)}`) }
    case 'version':
      return { ...about, target, value: random.integer(0, 4) }
    case 'create-revision':
    case 'mod-revision':
      return { ...about, target, value: random.chance(0.3) ? 0 : (seen(about.key) ?? 0) }
  }
}

/** Mostly with a put in front, whose value shows in the log that the transaction is there. */
function drawBranch(draw: TransactionDraw, value: Uint8Array): Operation[] {
  const { random } = draw
  const branch: Operation[] = []
  if (random.chance(0.9)) branch.push({ type: 'put', key: draw.key(), value, wantsPrevious: random.chance(0.3) })
  const count = random.integer(0, OPERATIONS_MAX)
  for (let i = 0; i < count; i++) {
    const operation = drawOperation(draw, value)
    if (branchFaults([...branch, operation]).length === 0) branch.push(operation)
  }
  return branch
}

function drawOperation({ random, key, range }: TransactionDraw, value: Uint8Array): Operation {
  const type = random.pick(['put', 'get', 'get', 'delete', 'delete-range', 'list'] as const)
  const [start, end] = range()
  switch (type) {
    case 'put':
      return { type, key: key(), value, wantsPrevious: random.chance(0.3) }
    case 'get':
      return { type, key: key() }
    case 'delete':
      return { type, key: key(), wantsPrevious: random.chance(0.3) }
    case 'delete-range':
      return { type, start, end }
    case 'list':
      return { type, start, end, limit: random.integer(1, 5), keysOnly: random.chance(0.3) }
  }
}
