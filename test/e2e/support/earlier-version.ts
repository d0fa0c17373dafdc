import { execFile } from 'node:child_process'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryDirectory, type Owner } from '../../support/temporary-directory.ts'

const run = promisify(execFile)
const checkout = fileURLToPath(new URL('../../../', import.meta.url))

/** Stands for the oldest release while there is none: the last commit whose nodes know no more than feature level 0. */
const BEFORE_RELEASES = '217b4ae17be3a02ac573d71029cc9ec8ee47a9b9'

export interface EarlierVersion {
  /** A tag, or a commit while there are no tags. */
  readonly name: string
  /** The feature level that its nodes know. */
  readonly level: number
}

/**
 * The versions from which an upgrade is tried, the oldest first: the oldest and the newest release before this commit, and each in between
 * that raised the feature level. None where the history is missing: in a clone without it, or without git.
 */
export async function earlierVersions(repository = checkout): Promise<readonly EarlierVersion[]> {
  const git = async (...words: string[]): Promise<string> =>
    (await run('git', words, { cwd: repository })).stdout.trim()
  try {
    const sorted = ['-c', 'versionsort.suffix=-', 'tag', '--list', 'v*', '--sort=version:refname']
    const tags = await git(...sorted, '--merged', 'HEAD', '--no-contains', 'HEAD')
    if (tags === '') await git('cat-file', '-e', `${BEFORE_RELEASES}^{commit}`)
    const versions: EarlierVersion[] = []
    for (const name of tags === '' ? [BEFORE_RELEASES] : tags.split('\n')) {
      const found = await git('grep', '-hE', 'FEATURE_LEVEL = [0-9]+', name, '--', 'src/kv').catch(() => '')
      versions.push({ name, level: Number(/FEATURE_LEVEL = (\d+)/.exec(found)?.[1] ?? 0) })
    }
    return versions.filter(({ level }, at) => {
      const before = versions[at - 1]
      return before === undefined || at === versions.length - 1 || level > before.level
    })
  } catch {
    return []
  }
}

/** Builds a version from its sources with the packages of this checkout. Returns what starts its nodes, as `NodeOptions.command`. */
export async function buildEarlier(owner: Owner, { name }: EarlierVersion): Promise<readonly string[]> {
  const directory = await temporaryDirectory(owner)
  const sources = join(directory, 'sources')
  const archive = join(directory, 'sources.tar')
  await mkdir(sources)
  await run('git', ['archive', '--output', archive, name], { cwd: checkout })
  await run('tar', ['-xf', archive, '-C', sources])
  await symlink(join(checkout, 'node_modules'), join(sources, 'node_modules'))
  const compiler = join(checkout, 'node_modules', 'typescript', 'bin', 'tsc')
  await run(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: sources })
  return [process.execPath, join(sources, 'dist', 'main.js')]
}
