import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { LogId, Vote } from '../../../src/raft/index.ts'

export function describeLogId(id: LogId | null): string {
  return id === null ? 'none' : `${id.leaderId.term}.${id.leaderId.nodeId}@${id.index}`
}

export function describeVote(vote: Vote): string {
  return `${vote.leaderId.term}.${vote.leaderId.nodeId}${vote.committed ? '*' : ''}`
}

/** One line for a trace. */
export function describeMessage(message: PeerMessage): string {
  switch (message.type) {
    case 'pre-vote-request':
      return `pre-vote? ${describeVote(message.vote)} last ${describeLogId(message.last)}`
    case 'vote-request':
      return `vote? ${describeVote(message.vote)} last ${describeLogId(message.last)}${message.transfer ? ' (transfer)' : ''}`
    case 'pre-vote-response':
    case 'vote-response':
      return (
        `${message.type === 'vote-response' ? 'vote' : 'pre-vote'} ${message.granted ? 'granted' : 'refused'} ` +
        `${describeVote(message.asked)} mine ${describeVote(message.vote)}`
      )
    case 'append-request':
      return (
        `append ${describeVote(message.vote)} after ${describeLogId(message.prev)} ` +
        `to ${message.batches.at(-1)?.last ?? '-'} commit ${message.committed} s${message.session}`
      )
    case 'append-response': {
      const { outcome } = message
      const what =
        outcome.kind === 'matched'
          ? `matched ${outcome.matched}`
          : outcome.kind === 'conflict'
            ? `conflict at ${outcome.prev}, hint ${describeLogId(outcome.hint)}`
            : 'outvoted'
      return `append-response ${describeVote(message.asked)} ${what} mine ${describeVote(message.vote)} s${message.session}`
    }
    case 'transfer-request':
      return `transfer ${describeVote(message.vote)} last ${describeLogId(message.last)}`
    case 'forward-request':
      return `forward ${message.count} commands, batch ${message.batchId} under ${describeVote(message.vote)}`
    case 'forward-refusal':
      return `refuses batch ${message.batchId}: ${message.reason}`
    case 'read-index-request':
      return `read index? ${message.readId}`
    case 'read-index-response':
      return `read index ${message.readId}: ${message.ready ? message.index : 'not leading'}`
    case 'control-request':
      return `control ${message.name} ${message.requestId}`
    case 'control-response':
      return `control answer ${message.requestId}`
  }
}
