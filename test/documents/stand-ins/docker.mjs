#!/usr/bin/env node
// Stands in for `docker` where there is none: a volume is a directory, a container a process of this machine, whose host name has an address
// of its own in /etc/hosts. It takes the words that the documents use, checks them as Docker does, and refuses all others.
//
// QUORATE_DOCKER is its directory, QUORATE_ROOT the project.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { QUORATE_DOCKER: place = '', QUORATE_ROOT: root = '' } = process.env
const file = join(place, 'state.json')
const state = existsSync(file)
  ? JSON.parse(readFileSync(file, 'utf8'))
  : { images: [], networks: [], volumes: [], containers: {} }

function refuse(why) {
  console.error(`docker: ${why}`)
  process.exit(125)
}

const keep = () => writeFileSync(file, JSON.stringify(state))
const containerOf = (name) => state.containers[name] ?? refuse(`No such container: ${name}`)

function makeVolume(name) {
  mkdirSync(join(place, name), { recursive: true })
  if (!state.volumes.includes(name)) state.volumes.push(name)
}

/** The variables of the image, which has no network of its own here. */
function imageVariables(hostname) {
  const stage = readFileSync(join(root, 'Dockerfile'), 'utf8').split('\nFROM ').at(-1)
  const pairs = [...stage.matchAll(/(QUORATE_\w+)=(\S+)/g)].map(([, name, text]) => [name, text])
  return Object.fromEntries(pairs.map(([name, text]) => [name, text.replace('0.0.0.0', hostname)]))
}

/** `words` as they are in a container: `/data` is its volume. */
function inside({ volume, hostname, environment = {} }, words) {
  const data = join(place, volume)
  const mapped = (word) => word.replaceAll(/(?<![\w.])\/data\b/g, data)
  const variables = { ...imageVariables(hostname), ...environment }
  const env = Object.fromEntries(Object.entries(variables).map(([name, text]) => [name, mapped(String(text))]))
  return [words.map(mapped), { cwd: data, env: { ...process.env, ...env } }]
}

function isAlive(pid) {
  if (!existsSync(`/proc/${pid}/stat`)) return false
  return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

function start(container) {
  const log = openSync(join(place, `${container.name}.log`), 'a')
  const [words, options] = inside(container, ['sh', join(root, 'deploy/container/entrypoint.sh'), ...container.words])
  const child = spawn(words[0], words.slice(1), { ...options, stdio: ['ignore', log, log] })
  container.pid = child.pid
  child.unref()
}

function stop(container) {
  if (container.pid === null || !isAlive(container.pid)) return
  process.kill(container.pid, 'SIGTERM')
  while (isAlive(container.pid)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  container.pid = null
}

function runHere(container, words) {
  const [[program, ...rest], options] = inside(container, words)
  const { status, signal } = spawnSync(program, rest, { ...options, stdio: 'inherit' })
  return status ?? refuse(`ended by ${signal}`)
}

function add(container) {
  const { name } = container
  if (name in state.containers) refuse(`The container name "${name}" is already in use`)
  state.containers[name] = container
  start(container)
}

const runOptions = {
  detach: { type: 'boolean', short: 'd' },
  rm: { type: 'boolean' },
  interactive: { type: 'boolean', short: 'i' },
  name: { type: 'string' },
  hostname: { type: 'string' },
  network: { type: 'string' },
  publish: { type: 'string', short: 'p' },
  volume: { type: 'string', short: 'v' },
  'stop-timeout': { type: 'string' },
  ulimit: { type: 'string' },
  restart: { type: 'string' },
  entrypoint: { type: 'string' },
}

/** The options of `docker run`, which end at the image, and what comes behind them. */
function splitRun(words) {
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    if (!word.startsWith('-')) return [words.slice(0, at), words.slice(at)]
    const [, option] =
      Object.entries(runOptions).find(([name, { short }]) => word === `--${name}` || word === `-${short}`) ?? []
    if (option?.type === 'string') at++
  }
  return refuse('run needs an image')
}

function run(words) {
  const [before, [image, ...command]] = splitRun(words)
  const { values } = parseArgs({ args: before, options: runOptions })
  if (!state.images.includes(image)) refuse(`Unable to find image '${image}' locally`)
  const { network = 'bridge', hostname = 'localhost', name, publish } = values
  if (!['bridge', 'none', ...state.networks].includes(network)) refuse(`network ${String(network)} not found`)
  const [volume, path] = (values.volume ?? refuse('a node without a volume')).split(':')
  if (path !== '/data') refuse(`the image keeps its data in /data, not in ${path}`)
  if (publish !== undefined && !/^127\.0\.0\.1:\d+:7001$/.test(publish)) refuse(`${String(publish)} is for everybody`)
  if (!/^nofile=\d+$/.test(values.ulimit ?? 'nofile=1')) refuse(`invalid ulimit ${String(values.ulimit)}`)
  if (!['no', 'unless-stopped'].includes(values.restart ?? 'no')) refuse(`restart ${String(values.restart)}`)
  makeVolume(volume)
  const container = { name, hostname, volume, words: command, pid: null }
  if (values.detach) return add(container)
  keep()
  const entry =
    values.entrypoint === undefined ? ['sh', join(root, 'deploy/container/entrypoint.sh')] : [values.entrypoint]
  process.exit(runHere(container, [...entry, ...command]))
}

async function compose(words) {
  const [flag, path, action, ...rest] = words
  if (flag !== '-f') refuse('compose without -f')
  const { parse } = await import(pathToFileURL(join(root, 'node_modules/yaml/dist/index.js')).href)
  const { services, volumes } = parse(readFileSync(path, 'utf8'), { merge: true })
  const has = (name) => (name in services ? `compose-${name}` : refuse(`no such service: ${name}`))
  if (action === 'exec') {
    const [name, ...command] = rest[0] === '-T' ? rest.slice(1) : rest
    process.exit(runHere(containerOf(has(name)), command))
  }
  if (action === 'down' && rest.length === 0) {
    for (const name of Object.keys(services)) remove(has(name))
    return
  }
  if (action !== 'up') refuse(`unknown: compose ${action} ${rest.join(' ')}`)
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: { detach: { type: 'boolean', short: 'd' }, build: { type: 'boolean' }, 'no-deps': { type: 'boolean' } },
  })
  if (!values.detach || !values.build) refuse('this stand-in has no image that was not built, and no terminal')
  for (const [name, service] of Object.entries(services)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    const [volume, target] = service.volumes[0].split(':')
    if (!(volume in volumes) || target !== '/data') refuse(`volumes of ${name}: ${service.volumes}`)
    if (!existsSync(join(resolve(dirname(path), service.build), 'Dockerfile'))) refuse(`${name}: no Dockerfile`)
    makeVolume(`compose_${volume}`)
    if (has(name) in state.containers) remove(has(name))
    const { hostname, environment } = service
    add({
      name: has(name),
      hostname,
      environment,
      volume: `compose_${volume}`,
      words: service.command ?? ['serve'],
      pid: null,
    })
  }
}

function remove(name) {
  stop(containerOf(name))
  delete state.containers[name]
}

function removeVolume(name) {
  if (!state.volumes.includes(name)) refuse(`no such volume: ${name}`)
  const user = Object.values(state.containers).find(({ volume }) => volume === name)
  if (user !== undefined) refuse(`volume ${name} is in use by ${user.name}`)
  rmSync(join(place, name), { recursive: true })
  state.volumes = state.volumes.filter((one) => one !== name)
}

async function carryOut([command, ...words]) {
  switch (command) {
    case 'build':
      if (words[0] !== '-t' || !existsSync(join(words[2], 'Dockerfile'))) refuse(`build ${words.join(' ')}`)
      return state.images.push(words[1])
    case 'network':
      return words[0] === 'create' && words.length === 2 ? state.networks.push(words[1]) : refuse(words.join(' '))
    case 'volume':
      if (words[0] === 'create' && words.length === 2) return makeVolume(words[1])
      return words[0] === 'rm' ? words.slice(1).forEach(removeVolume) : refuse(words.join(' '))
    case 'run':
      return run(words)
    case 'exec':
      return process.exit(runHere(containerOf(words[0]), words.slice(1)))
    case 'stop':
      return words.forEach((name) => stop(containerOf(name)))
    case 'start':
      return words.forEach((name) => start(containerOf(name)))
    case 'rm':
      for (const name of words) {
        if (containerOf(name).pid !== null) refuse(`cannot remove container "${name}": container is running`)
        delete state.containers[name]
      }
      return
    case 'compose':
      return await compose(words)
    default:
      return refuse(`unknown command: ${command}`)
  }
}

await carryOut(process.argv.slice(2))
keep()
process.exit(0)
