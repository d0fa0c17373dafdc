import { StorageError } from '../lib/errors.ts'
import { recover as recoverDirectory, type RecoveryReport } from '../recovery.ts'
import { originText, reachable, reachableOrigin } from '../lib/host-port.ts'
import type { Parser } from '../lib/parsed.ts'
import { wholeNumber } from './connection.ts'
import { describeConfigs, describeIds, describeLogId } from './cluster-status.ts'
import { revisionGapOf } from './revision-gap.ts'
import { shellCommand } from './shell.ts'
import { formatFacts } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface RecoverOptions {
  readonly dataDir: string
  readonly id?: string
  readonly raft?: string
  readonly api?: string
  readonly resetAuth?: true
  readonly revisionGap?: string
  readonly yes?: true
  readonly json?: true
}

/** Makes one survivor of a lost quorum a cluster of its own. Without `--yes` it only says what it would do. */
export async function recover(terminal: Terminal, options: RecoverOptions): Promise<number> {
  const id = options.id === undefined ? null : wholeNumber(options.id, '--id', 1)
  const raft = options.raft === undefined ? null : addressFrom('--raft', options.raft, reachable)
  const origin = options.api === undefined ? null : addressFrom('--api', options.api, reachableOrigin)
  const api = origin === null ? null : originText(origin, 'http')
  if (options.dataDir === '') throw new UsageError("--data-dir '': expected the directory of the survivor")
  const revisionGap = revisionGapOf(options.revisionGap)
  let report: RecoveryReport
  try {
    const carryOut = options.yes === true
    const resetAuth = options.resetAuth === true
    report = await recoverDirectory({
      dataDirectory: options.dataDir,
      id,
      raft,
      api,
      resetAuth,
      revisionGap,
      carryOut,
    })
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    const document = JSON.stringify({ code: error.kind, detail: error.message })
    terminal.printError(options.json === true ? `${document}\n` : `quorate recover: ${error.message}\n`)
    return error.kind === 'refused' ? exitCodes.refused : exitCodes.storageFault
  }
  terminal.print(options.json === true ? `${JSON.stringify(report)}\n` : describe(report, options))
  return exitCodes.stopped
}

function addressFrom<Address>(flag: string, text: string, parse: Parser<Address>): Address {
  const parsed = parse(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`${flag} ${text} ${parsed.wrong}; expected HOST:PORT`)
}

function describe(report: RecoveryReport, options: RecoverOptions): string {
  const { node, newClusterId } = report
  const found = describeFound(report)
  if (report.kind === 'alone') {
    return `${found}\nNode ${node} is already a cluster of its own: there is nothing to recover. Start it as usual.\n`
  }
  const heading = newClusterId === null ? 'With --yes this becomes' : 'This is now'
  const changed = `\n${heading}\n\n${describeChange(report)}\n${describeLoss(report)}\n${describeOthers(report)}`
  const last =
    newClusterId === null
      ? `\nThe membership was not changed. To do it: ${commandLine(options)} --yes\n`
      : `\n${describeNext(report)}`
  return found + changed + last
}

function describeNext({ node, leaving }: RecoveryReport): string {
  const next = `Done. Start node ${node}, then add other nodes as learners and promote them.\n`
  return leaving.length === 0
    ? next
    : `${next}With --discover: wipe the nodes that leave before you start any node; then they join by themselves.\n`
}

/** The command that was given, quoted for a shell. */
function commandLine({ dataDir, id, raft, api, resetAuth, revisionGap }: RecoverOptions): string {
  const flags = { '--data-dir': dataDir, '--id': id, '--raft': raft, '--api': api, '--revision-gap': revisionGap }
  return `${shellCommand('quorate recover', flags)}${resetAuth === true ? ' --reset-auth' : ''}`
}

function describeFound(report: RecoveryReport): string {
  const { node, role, clusterId, lastLogId, applied, vote, membership, findings } = report
  const facts = formatFacts([
    ['node', `${node} (${role})`],
    ['cluster', clusterId],
    ['last entry', describeLogId(lastLogId)],
    ['applied', `index ${applied}`],
    ['vote', `term ${vote.term}, node ${vote.node}${vote.committed ? ' (granted by a quorum)' : ''}`],
    ['voters', describeConfigs(membership.configs)],
    ['learners', describeIds(membership.learners)],
  ])
  return facts + findings.map((finding) => `note: ${finding}\n`).join('')
}

function describeChange({ newClusterId, newMembership, revisionsAfter, leaving, resetAuth }: RecoveryReport): string {
  const addresses = Object.entries(newMembership.nodes).map(([id, { raft, api }]) => `${id} at ${raft} and ${api}`)
  return formatFacts([
    ['cluster', newClusterId ?? 'a new id, drawn with --yes'],
    ['voters', addresses.join(', ')],
    ['leaving', describeIds(leaving)],
    ['revisions', `above ${revisionsAfter}`],
    ...(resetAuth ? [['tokens', 'none: roles and tokens are removed, and everybody may do everything'] as const] : []),
  ])
}

function describeLoss({ lastLogId, uncertain, role, node }: RecoveryReport): string {
  const kept =
    uncertain === 0
      ? 'Everything up to the last entry is kept.'
      : `Everything up to the last entry is kept. This node does not know whether the last ${uncertain === 1 ? 'entry was' : `${uncertain} entries were`} committed.`
  const learner =
    role === 'learner' ? ` Node ${node} had no vote, so writes were acknowledged without waiting for it.` : ''
  return `${kept}
What was acknowledged after ${describeLogId(lastLogId)} and is only on other nodes is lost.${learner}
Look at every survivor before you choose one: the one with the highest last entry, by term, then node, then index, has lost the least.
`
}

function nodesOf(ids: readonly number[]): string {
  return `${ids.length === 1 ? 'Node' : 'Nodes'} ${describeIds(ids)}`
}

function describeOthers({ leaving }: RecoveryReport): string {
  if (leaving.length === 0) return ''
  return `${nodesOf(leaving)} must not run again with the old data: the new cluster refuses them, but enough of them together
would still be the old cluster. Wipe them before they join again.
`
}
