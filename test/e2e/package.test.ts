import { readFileSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { exitCodes } from '../../src/cli/terminal.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { authority } from '../support/certificates.ts'
import { missing } from '../support/missing.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { codeIn } from './support/document.ts'
import { brokenLinks } from './support/links.ts'
import { freePorts } from './support/ports.ts'
import { runCommand } from './support/run-command.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const platform = `${process.platform}-${process.arch}`
/** The most that the package may take when it is installed for one platform, in bytes of its files. */
const installedBytesMax = 48 * 1024 * 1024

/** What `npm pack` makes of the built program, for this platform alone. Building is left out: `npm test` has done it. */
async function pack(
  t: Test,
  directory: string,
): Promise<{ readonly tarball: string; readonly files: readonly string[] }> {
  const flags = [`--os=${process.platform}`, `--cpu=${process.arch}`]
  const pruned = await runCommand(t, ['npm', 'run', '--silent', 'prune:binding', ...flags], { cwd: root })
  t.equal(pruned.out, `RocksDB for ${platform}\n`, pruned.err)
  const packed = await runCommand(t, ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', directory], {
    cwd: root,
  })
  t.equal(packed.code, 0, packed.err)
  const [report] = JSON.parse(packed.out) as [{ filename: string; files: { path: string }[] }]
  const files = report.files.map(({ path }) => path)
  const bindings = files.filter((path) => path.includes('/prebuilds/'))
  t.same(bindings, [`node_modules/rocksdb-native/prebuilds/${platform}/rocksdb-native.node`])
  return { tarball: join(directory, report.filename), files }
}

/** A global installation in a folder of its own, without registry and cache. */
async function install(t: Test, tarball: string, prefix: string): Promise<string> {
  const flags = ['--global', '--prefix', prefix, '--offline', '--cache', `${prefix}-cache`, '--no-audit']
  const installed = await runCommand(t, ['npm', 'install', ...flags, tarball])
  t.equal(installed.code, 0, installed.err)
  t.notMatch(installed.err, /warn|EBADENGINE/i, 'npm finds nothing to complain about')
  return join(prefix, 'bin', 'quorate')
}

/** What TypeScript says of programs in `directory`, as strict as it gets; nothing when all is well. */
async function typesIn(t: Test, directory: string, options: object, files: readonly string[]): Promise<string> {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    module: 'nodenext',
    target: 'es2022',
    outDir: 'out',
    rootDir: '.',
    ...options,
  }
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const ran = await runCommand(t, [process.execPath, compiler, '-p', directory])
  return ran.out + ran.err
}

/** A project that has the package among its dependencies, and next to it the types of Node. */
async function importing(t: Test, temporary: string, installed: string): Promise<void> {
  const directory = join(temporary, 'importing')
  const modules = join(directory, 'node_modules')
  await mkdir(join(modules, '@types'), { recursive: true })
  await symlink(installed, join(modules, 'quorate'))
  for (const name of ['@types/node', 'undici-types'])
    await symlink(join(root, 'node_modules', name), join(modules, name))
  await writeFile(join(directory, 'package.json'), '{"type": "module"}')
  const readme = await codeIn('README.md', 'ts')
  await writeFile(join(directory, 'readme.ts'), readme)
  await writeFile(join(directory, 'page.ts'), await codeIn('docs/CLIENT.md', 'ts'))
  t.equal(await typesIn(t, directory, { types: ['node'] }, ['readme.ts', 'page.ts']), '', 'the examples of the pages')
  const wrong = `import { QuorateClient } from 'quorate'
const client = new QuorateClient({ servers: 'http://127.0.0.1:7001' })
const text: string = await client.get('a')
`
  await writeFile(join(directory, 'wrong.ts'), wrong)
  const mistakes = await typesIn(t, directory, { types: [], lib: ['esnext', 'dom'] }, ['wrong.ts'])
  t.match(mistakes, /wrong\.ts\(2,[\s\S]*wrong\.ts\(3,/, 'mistakes are found, without the types of Node too')
  t.notMatch(mistakes, /node_modules/, 'and none in the package')

  const [port = 0] = await freePorts(1)
  const program = join(directory, 'out', 'readme.js')
  const compiled = await readFile(program, 'utf8')
  await writeFile(program, compiled.replaceAll(/127\.0\.0\.1:700[123]/g, `127.0.0.1:${port}`))
  const probe = `import { QuorateClient } from 'quorate'
import about from 'quorate/package.json' with { type: 'json' }
import { createRequire } from 'node:module'
const inside = await import('quorate/dist/client/requests.js').catch(({ code }) => code)
console.log(about.version, createRequire(import.meta.url)('quorate').QuorateClient === QuorateClient, inside)
`
  await writeFile(join(directory, 'probe.js'), probe)
  const probed = await runCommand(t, [process.execPath, '--no-warnings', join(directory, 'probe.js')])
  t.same(probed, { code: 0, out: `${version} true ERR_PACKAGE_PATH_NOT_EXPORTED\n`, err: '' }, 'nothing else is public')
  const node = await runServer(t, installed, port)
  const ran = await runCommand(t, [process.execPath, program])
  t.same(ran, { code: 0, out: '3 true\nsold\nsold/apples 1\n', err: '' })
  // What the page trusts instead of the CAs of the system.
  await writeFile(join(directory, 'ca.pem'), (await authority()).cert)
  const page = await runCommand(t, [process.execPath, await pageFor(directory, port)], { cwd: directory })
  t.same([page.code, page.err], [0, ''], 'the examples of the page do what they say')
  const said =
    /^text 4 \d+ 1\n1 \d+\nconfig\/a new\n1\nundefined 1 false\n\d+ config\/b .+\n\d+\njobs\/nightly: .*, lease \d+, 0 waiting\nconfig\/a 3\n1 0\ntext 0\n$/
  t.match(page.out, said)
  await node.stop()
}

/** The program of docs/CLIENT.md, for a node at `port`. It imports fewer records. */
async function pageFor(directory: string, port: number): Promise<string> {
  const program = join(directory, 'out', 'page.js')
  const compiled = await readFile(program, 'utf8')
  const fewer = compiled.replace('1_000_000', '1_000')
  await writeFile(program, fewer.replaceAll(/10\.[01]\.0\.[123]:7001/g, `127.0.0.1:${port}`))
  return program
}

/** A cluster of one node of the package. */
async function runServer(t: Test, installed: string, port: number): Promise<{ stop(): Promise<void> }> {
  const ready = deferred<() => void>()
  const command = [process.execPath, join(installed, 'dist', 'quorate.cjs')]
  const ran = runCommand(t, [...command, 'dev', '--json', '--nodes', '1', '--port', String(port)], {
    onOutput: (out, stop) => {
      if (out.includes('\n')) ready.resolve(stop)
    },
  })
  const early = ran.then(({ err }) => {
    throw new Error(err)
  })
  const stop = await Promise.race([ready.promise, early])
  early.catch(() => undefined)
  return {
    stop: async () => {
      stop()
      await ran
    },
  }
}

function isDocument(path: string): boolean {
  return path.endsWith('.md') && !path.startsWith('node_modules/')
}

async function bytesBelow(directory: string): Promise<number> {
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((file) => file.isFile())
  const sizes = await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

t.test('the packed program, installed globally', async (t) => {
  const directory = await temporaryDirectory(t)
  const prefix = join(directory, 'prefix')
  const { tarball, files } = await pack(t, directory)
  const documents = files.filter(isDocument)
  for (const name of ['README.md', 'docs/OPERATIONS.md']) t.ok(documents.includes(name), name)
  t.same(brokenLinks(root, documents, files), [], 'every link of a document leads to something that is in the package')
  const quorate = await install(t, tarball, prefix)
  const bytes = await bytesBelow(prefix)
  t.comment(`${bytes} bytes installed`)
  t.ok(bytes < installedBytesMax, `${bytes} bytes, less than ${installedBytesMax}`)
  t.same(await runCommand(t, [quorate, '--version']), { code: 0, out: `${version}\n`, err: '' })

  await t.test(
    'a program that imports it',
    async (t) => await importing(t, directory, join(prefix, 'lib', 'node_modules', 'quorate')),
  )

  await t.test('quorate dev answers, its pages too', async (t) => {
    const [port = 0] = await freePorts(1)
    const asked: Promise<string[]>[] = []
    const ask = async (path: string): Promise<string> => await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    const ran = await runCommand(t, [quorate, 'dev', '--json', '--nodes', '1', '--port', String(port)], {
      onOutput: (out, stop) => {
        if (!out.includes('\n') || asked.length > 0) return
        asked.push(Promise.all(['/version', '/docs/static/swagger-ui-bundle.js', '/ui/'].map(ask)).finally(stop))
      },
    })
    t.equal(ran.code, 0, ran.err)
    const [said = '', script = '', dashboard = ''] = (await Promise.all(asked)).flat()
    t.match(JSON.parse(said), { version })
    t.match(script, /swagger/i)
    t.match(dashboard, /<script type="module"[^>]* src="\.\/assets\//)
  })
})

t.test('every link of a document in the repository leads to a file or heading in it', async (t) => {
  const listed = await runCommand(t, ['git', 'ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  t.equal(listed.code, 0, listed.err)
  const files = listed.out.trim().split('\n')
  t.same(brokenLinks(root, files.filter(isDocument), files), [])

  const directory = await temporaryDirectory(t)
  await writeFile(
    join(directory, 'a.md'),
    '# A *b*: c?\n[1](#a-b-c) [2](a.md#d) [3](b.md) [4](x/) [5](y) [6](http://z)\n',
  )
  t.same(
    brokenLinks(directory, ['a.md'], ['a.md', 'x/y.md']),
    ['a.md: a.md#d leads to no heading', 'a.md: b.md leads to no file', 'a.md: y leads to no file'],
    'what leads nowhere is found',
  )
})

/** The paths that a stage of the Dockerfile copies from the repository: sources, and the file or folder that they become. */
function copiesIn(stage: string): readonly { readonly source: string; readonly target: string }[] {
  return [...stage.matchAll(/^COPY (?!--from=)(.+)$/gm)].flatMap(([, words = '']) => {
    const [target = '', ...sources] = words.split(' ').toReversed()
    return sources.map((source) => ({ source, target: target.endsWith('/') ? join(target, basename(source)) : target }))
  })
}

/** Whether `.dockerignore`, which ignores everything but what it names, lets a path through. */
function isInContext(path: string, ignore: string): boolean {
  const [first, ...kept] = ignore.trim().split('\n')
  if (first !== '*') throw new Error('.dockerignore begins with something else than *')
  return kept.some((line) => line === `!${path}` || path.startsWith(`${line.slice(1)}/`))
}

const notLinux = process.platform !== 'linux' && 'the image is one of Linux'
t.test('what the Dockerfile copies is enough to build the package of the image', { skip: notLinux }, async (t) => {
  const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8')
  const [, build = '', final = ''] = dockerfile.split(/^FROM /m)
  const ignore = await readFile(join(root, '.dockerignore'), 'utf8')
  for (const { source } of [...copiesIn(build), ...copiesIn(final)]) t.ok(isInContext(source, ignore), source)
  t.notOk(isInContext('test', ignore), 'tests stay outside')

  const temporary = await temporaryDirectory(t)
  const directory = join(temporary, 'build')
  for (const { source, target } of copiesIn(build))
    await cp(join(root, source), join(directory, target), { recursive: true })
  // What `npm ci` installs is here already.
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  const [, pack = ''] = /^RUN (npm pack (?:.*\\\n)*.*)$/m.exec(build) ?? []
  const prefix = join(temporary, 'package')
  t.match(pack, '--prefix /package ')
  const ran = await runCommand(t, ['sh', '-c', pack.replace('--prefix /package ', `--prefix ${prefix} `)], {
    cwd: directory,
    environment: { npm_config_cache: join(temporary, 'cache') },
  })
  t.equal(ran.code, 0, ran.code === 0 ? 'it is built and installed' : ran.err.slice(-3_000))
  const quorate = join(prefix, 'bin', 'quorate')
  t.same(await runCommand(t, [quorate, '--version']), { code: 0, out: `${version}\n`, err: '' })
  const installed = join(prefix, 'lib', 'node_modules', 'quorate')
  for (const path of ['dist/ui/index.html', 'dist/client/index.d.ts', 'openapi/openapi.json', 'docs/OPERATIONS.md'])
    t.ok((await stat(join(installed, path))).size > 0, path)
  const bindings = await readdir(join(installed, 'node_modules', 'rocksdb-native', 'prebuilds'))
  t.same(
    bindings.filter((name) => !name.startsWith('.')),
    [platform],
  )
})

t.test('the entry point of the image', { skip: process.platform === 'win32' && 'needs a shell' }, async (t) => {
  const directory = await temporaryDirectory(t)
  const program = join(directory, 'quorate')
  await writeFile(program, '#!/bin/sh\nprintf "[%s]" "$@"\n')
  await chmod(program, 0o700)
  const dockerfile = await readFile(join(root, 'Dockerfile'), 'utf8')
  const [, script = ''] = /^COPY (\S+) \/usr\/local\/bin\/quorate-entrypoint$/m.exec(dockerfile) ?? []
  const given = async (...words: string[]): Promise<string> => {
    const environment = { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}` }
    return (await runCommand(t, [join(root, script), ...words], { environment })).out
  }
  t.equal(await given('serve', '--id', '1'), '[serve][--id][1]', 'a command of the program')
  t.equal(await given('kv', 'put', 'a b', ''), '[kv][put][a b][]', 'words stay what they are')
  t.equal(await given('--id', '1'), '[serve][--id][1]', 'flags alone are those of a node')
  t.equal(await given(), '[serve]', 'a node that is configured by variables')
  for (const word of ['--version', '-V', '--help', '-h']) t.equal(await given(word), `[${word}]`)
  await writeFile(program, '#!/bin/sh\nulimit -Hc; ulimit -Sc\n')
  t.equal(await given('serve'), '0\n0\n', 'it writes no dump of its memory')
})

t.test('the systemd unit', async (t) => {
  const unit = await readFile(join(root, 'deploy', 'systemd', 'quorate.service'), 'utf8')
  const valuesOf = (name: string): string[] =>
    (new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? '').split(' ').filter((value) => value !== '')
  const { usage, refused, storageFault, brokenInvariant, stopped, addressUnavailable } = exitCodes
  t.same(valuesOf('Restart'), ['on-failure'], `a node that stopped with ${stopped} stays down`)
  t.same(valuesOf('RestartPreventExitStatus').map(Number), [usage, refused, storageFault], 'what a restart cannot mend')
  for (const code of [brokenInvariant, addressUnavailable]) {
    t.notOk(valuesOf('RestartPreventExitStatus').includes(String(code)), `${code} is started again`)
  }
  const [restarts = 0, pause = 0, within = 0] = ['StartLimitBurst', 'RestartSec', 'StartLimitIntervalSec'].map((name) =>
    Number(valuesOf(name)[0]),
  )
  t.ok(restarts * pause >= 300, 'an address may take five minutes to come')
  t.ok(restarts * (pause + 1) < within, 'after that the limit is met, also where a start takes a second')
  t.same(valuesOf('LimitCORE'), ['0'], 'it writes no dump of its memory')
  t.same(valuesOf('SuccessExitStatus'), ['129', '130', '143'], 'a second SIGHUP, SIGINT or SIGTERM')

  const directory = await temporaryDirectory(t)
  const path = join(directory, 'quorate.service')
  // The check asks for the program at its place; which one that is matters little.
  await writeFile(path, unit.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`))
  const checked = await runCommand(t, ['systemd-analyze', 'verify', path]).catch(() => null)
  if (checked === null) return missing(t, 'systemd-analyze', 'it is not installed here')
  t.same(checked, { code: 0, out: '', err: '' })
})
