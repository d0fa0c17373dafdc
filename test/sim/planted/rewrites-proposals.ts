import { decodeCommand, encodeCommand, type Command } from '../../../src/kv/index.ts'
import { commandEntryBytes, commandEntryInto, entriesOf } from '../../../src/node/codec/entry.ts'
import { logIndex, nodeId, term, type ProposeOutcome } from '../../../src/raft/index.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'

/** A leader that proposes other commands than it was given. */
export abstract class RewritesProposals extends ObservedRaft {
  protected abstract rewrite(command: Command): Command

  override propose(
    now: number,
    { count, body }: { readonly count: number; readonly body: Uint8Array },
  ): ProposeOutcome {
    const leaderId = { term: term(0), nodeId: nodeId(0) }
    const entries = entriesOf({ leaderId, first: logIndex(0), last: logIndex(count - 1), body, membershipCount: 0 })
    const rewritten = entries.map((entry) => {
      if (entry.kind !== 'command') throw new Error('only commands are proposed')
      const command = encodeCommand(this.rewrite(decodeCommand(entry.command)))
      const bytes = Buffer.alloc(commandEntryBytes(command.length))
      const origin = { node: nodeId(entry.originNode), nonce: entry.originNonce }
      commandEntryInto(bytes, 0, origin, entry.requestNumber, command)
      return bytes
    })
    return super.propose(now, { count, body: Buffer.concat(rewritten) })
  }
}
