import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCommand } from '../e2e/support/run-command.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

const program = `import t from 'tap'
import { missing } from './test/support/missing.ts'
t.test('the rules', async (t) => missing(t, 'promtool', 'it is not installed here'))
t.test('the manifests', async (t) => {
  t.ok(true)
  missing(t, 'kubectl', 'it is not there')
})
t.test('another system', { skip: 'only Linux has it' }, async (t) => t.fail())
`

t.test(
  'what is missing is skipped with its reason, which is printed; in CI it fails unless it may be missing',
  async (t) => {
    // A project of its own, since tap keeps its results in that of the file.
    const directory = await temporaryDirectory(t)
    for (const folder of ['scripts', 'test/support']) await mkdir(join(directory, folder), { recursive: true })
    for (const name of ['package.json', '.taprc', 'scripts/test.mjs', 'test/support/missing.ts'])
      await copyFile(join(root, name), join(directory, name))
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
    await writeFile(join(directory, 'program.ts'), program)
    const run = async (environment: Readonly<Record<string, string>>) => {
      const command = [process.execPath, 'scripts/test.mjs', 'program.ts']
      const { code, out } = await runCommand(t, command, { cwd: directory, environment })
      return { code, lines: out.trimEnd().split('\n').slice(1) }
    }
    const promtool = 'program.ts > the rules'
    const manifests = 'skipped program.ts > the manifests > needs kubectl: it is not there'
    const system = 'skipped program.ts > another system: only Linux has it'
    t.same(await run({}), {
      code: 0,
      lines: [
        `skipped ${promtool} > needs promtool: it is not installed here`,
        manifests,
        system,
        '3 skipped, 0 todo',
        '1 passed, 0 failed',
      ],
    })
    const { code, lines } = await run({ CI: 'true' })
    const failure = `not ok ${promtool} > CI has to have promtool: it is not installed here`
    t.equal(code, 1)
    t.ok(lines.includes(failure))
    t.same(lines.slice(-5), [failure, manifests, system, '2 skipped, 0 todo', '1 passed, 1 failed'])
  },
)
