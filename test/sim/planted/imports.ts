import type { KeyValueAccess } from '../../../src/api/services.ts'
import type { ImportWrites } from '../../../src/http/ranges/import-writes.ts'
import type { Command, TransactionCommand } from '../../../src/kv/index.ts'
import type { Node } from '../../../src/node/node.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { RewritesProposals } from './rewrites-proposals.ts'

function isChange(command: Command): command is Command & TransactionCommand {
  if (command.type !== 'transaction') return false
  const { compares, success, failure } = command
  return compares.length + failure.length === 0 && success.length > 1 && success.every(({ type }) => type === 'put')
}

/** A change of an import loses its last record. */
class LosesLastRecord extends RewritesProposals {
  protected override rewrite(command: Command): Command {
    return isChange(command) ? { ...command, success: command.success.slice(0, -1) } : command
  }
}

/** The first record of a change is written for itself before the change. */
function writesInTwo({ services: { keys } }: Node): void {
  const execute: KeyValueAccess['execute'] = keys.execute.bind(keys)
  keys.execute = async (command, timeoutMs, caller) => {
    if (isChange(command)) {
      const first = { ...command, success: command.success.slice(0, 1), idempotency: null }
      await execute<TransactionCommand>(first, timeoutMs, caller ?? undefined)
    }
    return execute(command, timeoutMs, caller ?? undefined)
  }
}

/** Each node has names of its own for the changes of an import. */
function namesByNode(writes: ImportWrites, id: NodeId): void {
  Reflect.set(writes, 'chunks', 1_000 * id)
}

/** A change does not wait for one before it that puts the same key. */
function overtakes(writes: ImportWrites): void {
  Reflect.set(writes, 'hasRoomFor', () => true)
}

/** What is on its way counts as written. */
function countsWhatIsUnderWay(writes: ImportWrites): void {
  const begin = writes.begin.bind(writes)
  let begun = 0
  writes.begin = (chunk) => {
    begun += chunk.records.length
    return begin(chunk)
  }
  Object.defineProperty(writes, 'imported', { get: () => begun })
}

export const importBugs: readonly PlantedBug[] = [
  {
    name: 'import-loses-record',
    says: 'a change of an import is carried out without its last record',
    seedsMax: 100,
    needsImports: true,
    raft: LosesLastRecord,
  },
  {
    name: 'import-in-two',
    says: 'a change of an import is two, one after the other',
    seedsMax: 100,
    needsImports: true,
    plant: writesInTwo,
  },
  {
    name: 'import-named-by-node',
    says: 'the changes of an import that is retried through another node have other names',
    seedsMax: 100,
    needsImports: true,
    plantImport: namesByNode,
  },
  {
    name: 'import-overtakes',
    says: 'a change of an import does not wait for one before it that puts the same key',
    seedsMax: 500,
    needsImports: true,
    plantImport: overtakes,
  },
  {
    name: 'import-counts-ahead',
    says: 'an import that ends early counts what is on its way as written',
    seedsMax: 100,
    needsImports: true,
    plantImport: countsWhatIsUnderWay,
  },
]
