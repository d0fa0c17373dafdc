#!/usr/bin/env node
// Stands in for `systemctl`: starts and stops what the units in /etc/systemd/system say, as far as a process of this machine can show it.
// Absolute paths lie below QUORATE_ROOTS, as in the lines that are run.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const roots = process.env['QUORATE_ROOTS'] ?? ''
const units = join(roots, 'etc/systemd/system')

function refuse(why) {
  console.error(`systemctl: ${why}`)
  process.exit(1)
}

const pidFile = (unit) => join(roots, `${unit}.pid`)
const here = (text) => text.replaceAll(/(?<![\w.}])\/(etc|var|srv|run|usr\/local)\//g, `${roots}/$1/`)

/** The settings of a unit and its drop-ins, in their order. */
function settingsOf(unit) {
  const file = join(units, unit)
  if (!existsSync(file)) refuse(`Unit ${unit} not found.`)
  const folder = `${file}.d`
  const dropIns = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
  const checked = spawnSync('systemd-analyze', ['--version']).error === undefined
  if (checked) {
    // What it does not find on this machine is not what is looked for here.
    const { stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' })
    const mistakes = stderr.split('\n').filter((line) => /Unknown|Failed to parse|not absolute|Invalid/.test(line))
    if (mistakes.length > 0) refuse(mistakes.join('\n'))
  }
  const text = [file, ...dropIns].map((path) => readFileSync(path, 'utf8')).join('\n')
  return [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value])
}

function environmentOf(unit, settings) {
  const pairs = []
  for (const [name, value] of settings) {
    if (name === 'Environment') pairs.push(value)
    if (name === 'EnvironmentFile')
      pairs.push(
        ...readFileSync(here(value), 'utf8')
          .split('\n')
          .filter((line) => /^\w+=/.test(line)),
      )
    if (name === 'StateDirectory') {
      const directory = join(roots, 'var/lib', value)
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      pairs.push(`STATE_DIRECTORY=/var/lib/${value}`)
    }
  }
  return Object.fromEntries(pairs.map((pair) => here(pair).split(/=(.*)/s, 2)))
}

function isAlive(pid) {
  return existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

function start(unit) {
  const settings = settingsOf(unit)
  const value = (name) => settings.findLast(([one]) => one === name)?.[1]
  if (value('User') !== 'quorate') refuse(`${unit} runs as ${value('User')}`)
  if (!existsSync(join(roots, 'users', value('User')))) refuse(`${unit}: Failed to determine user credentials`)
  const own = environmentOf(unit, settings)
  const env = { ...process.env, ...own }
  const words = here(value('ExecStart'))
    .replaceAll(/\$\{(\w+)\}/g, (_, name) => own[name] ?? refuse(name))
    .split(' ')
  if (value('Type') === 'oneshot') {
    const { status } = spawnSync(words[0], words.slice(1), { env, stdio: 'inherit' })
    if (status !== 0) refuse(`Job for ${unit} failed`)
    return
  }
  const log = openSync(join(roots, `${unit}.log`), 'a')
  const child = spawn(words[0], words.slice(1), { env, stdio: ['ignore', log, log] })
  writeFileSync(pidFile(unit), String(child.pid))
  child.unref()
}

function stop(unit) {
  settingsOf(unit)
  if (!existsSync(pidFile(unit))) return
  const pid = Number(readFileSync(pidFile(unit), 'utf8'))
  if (isAlive(pid)) process.kill(pid, 'SIGTERM')
  while (isAlive(pid)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  rmSync(pidFile(unit))
}

const [action, ...words] = process.argv.slice(2)
const isNow = words[0] === '--now'
const [name, ...more] = isNow ? words.slice(1) : words
if (more.length > 0) refuse(`Too many arguments: ${more.join(' ')}`)
const unit = name === undefined || /\.(service|timer)$/.test(name) ? name : `${name}.service`
// What is installed or changed is not known before it is read again.
const stale = join(roots, 'stale')
if (action === 'daemon-reload') rmSync(stale, { force: true })
else if (action !== 'enable' && existsSync(stale)) refuse(`${unit} changed on disk: run daemon-reload`)
switch (action) {
  case 'daemon-reload':
    break
  case 'enable': {
    const wanted = settingsOf(unit).some(([setting]) => setting === 'WantedBy')
    if (!wanted) refuse(`${unit} has no [Install]`)
    if (isNow && unit.endsWith('.service')) start(unit)
    break
  }
  case 'start':
    start(unit)
    break
  case 'stop':
    stop(unit)
    break
  case 'restart':
    stop(unit)
    start(unit)
    break
  default:
    refuse(`Unknown command verb ${action}.`)
}
process.exit(0)
