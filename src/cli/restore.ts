import { BackupError } from '../backup.ts'
import { limits } from '../limits.ts'
import { StorageError } from '../lib/errors.ts'
import { membersProblem, restore as restoreDirectory, type RestoreReport } from '../restore.ts'
import { describeBackup } from './backup.ts'
import { openBackup, printStorageError, printUnusable } from './backup-file.ts'
import { describeConfigs, describeLogId } from './cluster-status.ts'
import { shown, wholeNumber } from './connection.ts'
import { memberFrom } from './members.ts'
import { revisionGapOf } from './revision-gap.ts'
import { shellCommand, shellWord } from './shell.ts'
import { StreamProgress } from './stream-progress.ts'
import { formatFacts } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface RestoreOptions {
  readonly dataDir: string
  readonly id: string
  readonly members: readonly string[]
  readonly clusterToken?: string
  readonly name?: string
  readonly revisionGap?: string
  readonly dryRun?: true
  readonly json?: true
}

/** Makes the data directory of one node of a new cluster from a backup. */
export async function restore(terminal: Terminal, file: string, options: RestoreOptions): Promise<number> {
  const { dataDir: dataDirectory } = options
  const id = wholeNumber(options.id, '--id', 1)
  const members = options.members.map((text) => memberFrom(text, '--members', 'http'))
  const problem = membersProblem(members, id)
  if (problem !== null) throw new UsageError(`--members: ${problem}`)
  if (dataDirectory === '') throw new UsageError("--data-dir '': expected the directory to make")
  const clusterToken = options.clusterToken ?? terminal.environment['QUORATE_CLUSTER_TOKEN'] ?? ''
  const revisionGap = revisionGapOf(options.revisionGap)
  const wishes = { members, clusterToken, name: nameFrom(options.name), revisionGap }
  const source = await openBackup(terminal, file)
  const progress = new StreamProgress(terminal, { isShown: true, hasRecords: false, bytesMax: source.bytes })
  try {
    const carryOut = options.dryRun !== true
    const given = progress.counted(source.pieces)
    const report = await restoreDirectory(given, { dataDirectory, id, carryOut, ...wishes }).finally(() =>
      progress.end(),
    )
    terminal.print(options.json === true ? `${JSON.stringify(report)}\n` : describe(report, file, options))
    return exitCodes.stopped
  } catch (error) {
    if (error instanceof BackupError) return printUnusable(terminal, options, source.name, error)
    if (error instanceof StorageError) return printStorageError(terminal, options, error)
    throw error
  } finally {
    await source.close()
  }
}

function nameFrom(given: string | undefined): string {
  const name = given ?? ''
  if (name.length <= limits.restoreNameCharactersMax) return name
  throw new UsageError(`--name has ${name.length} characters; at most ${limits.restoreNameCharactersMax} are allowed`)
}

function describe(report: RestoreReport, file: string, options: RestoreOptions): string {
  const { node, isDone, backup, clusterId, logId, revision, compactedRevision, membership } = report
  const addresses = Object.entries(membership.nodes).map(([id, { raft, api }]) => `${id} at ${raft} and ${api}`)
  const made = formatFacts([
    ['node', `${node} in ${shown(options.dataDir)}`],
    ['cluster', clusterId],
    ['voters', addresses.join(', ')],
    ['last entry', describeLogId(logId)],
    ['revision', `${revision}, readable from ${compactedRevision} on`],
  ])
  const heading = isDone ? 'This is now' : 'This would become'
  return `${describeBackup(backup)}\n${heading}\n\n${made}\n${isDone ? describeNext(report) : describeDryRun(file, options)}`
}

function describeNext({ node, membership }: RestoreReport): string {
  const others = membership.configs.flat().filter((id) => id !== node)
  if (others.length === 0) return `Done. Start node ${node}.\n`
  return `Done. Restore the same backup for ${describeConfigs([others])} in the same way, each with its own --id; then start all of them.\n`
}

function describeDryRun(file: string, options: RestoreOptions): string {
  const { dataDir, id, clusterToken, name, revisionGap, members } = options
  const flags = { '--data-dir': dataDir, '--id': id, '--name': name, '--revision-gap': revisionGap }
  const token = clusterToken === undefined ? '' : ' --cluster-token ...'
  const command = shellCommand(`quorate restore ${shellWord(file)}`, flags)
  return `Nothing was changed. To do it: ${command}${token} --members ${members.map(shellWord).join(' ')}\n`
}
