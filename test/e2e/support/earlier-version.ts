import { execFile } from 'node:child_process'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryDirectory, type Owner } from '../../support/temporary-directory.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../../', import.meta.url))

/** Stands for the oldest release while there is none: the last commit whose nodes know no more than feature level 0. */
const BEFORE_RELEASES = '217b4ae17be3a02ac573d71029cc9ec8ee47a9b9'

export interface EarlierVersion {
  readonly name: string
  /** As `NodeOptions.command`. */
  readonly command: readonly string[]
}

/**
 * The oldest release of this repository, built from its sources with the packages of this checkout. Null where they are not there: in a clone
 * without history, or without git.
 */
export async function earlierVersion(owner: Owner): Promise<EarlierVersion | null> {
  const commit = await oldest()
  if (commit === null) return null
  const directory = await temporaryDirectory(owner)
  const sources = join(directory, 'sources')
  const archive = join(directory, 'sources.tar')
  await mkdir(sources)
  await run('git', ['archive', '--output', archive, commit], { cwd: root })
  await run('tar', ['-xf', archive, '-C', sources])
  await symlink(join(root, 'node_modules'), join(sources, 'node_modules'))
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  await run(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: sources })
  return { name: commit, command: [process.execPath, join(sources, 'dist', 'main.js')] }
}

async function oldest(): Promise<string | null> {
  try {
    const { stdout } = await run('git', ['tag', '--list', 'v*', '--sort=version:refname'], { cwd: root })
    const [tag = ''] = stdout.trim().split('\n')
    if (tag !== '') return tag
    await run('git', ['cat-file', '-e', `${BEFORE_RELEASES}^{commit}`], { cwd: root })
    return BEFORE_RELEASES
  } catch {
    return null
  }
}
