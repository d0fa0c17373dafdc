import { join } from 'node:path'
import { endChild, makeDirectory, removeDirectory, spawnChild } from './children.ts'
import { eventually, freePort } from './cluster.ts'
import type { Load, LoadResult } from './load.ts'
import type { Roles } from './measured.ts'
import { call } from './rest.ts'
import { runs, startWrk } from './wrk.ts'

export function hasEtcd(): boolean {
  return runs('etcd', ['--version'])
}

export interface EtcdCluster {
  /** `host:port` of the leader's client port: gRPC and the JSON gateway. */
  readonly leader: string
  readonly roles: Roles
  /** The process that leads now. */
  leaderPid(): Promise<number | undefined>
  stop(): Promise<void>
}

const SIZE = 3

interface Status {
  readonly header?: { readonly member_id?: string }
  readonly leader?: string
}

/** Three members of etcd with its defaults, on this machine. */
export async function startEtcd(): Promise<EtcdCluster> {
  const directory = makeDirectory()
  const members: { name: string; client: string; peer: string }[] = []
  for (let n = 1; n <= SIZE; n++) {
    members.push({ name: `m${n}`, client: `127.0.0.1:${await freePort()}`, peer: `127.0.0.1:${await freePort()}` })
  }
  const cluster = members.map(({ name, peer }) => `${name}=http://${peer}`).join(',')
  const children = members.map(({ name, client, peer }) => {
    const place = ['--name', name, '--data-dir', join(directory, name), '--log-level', 'error']
    const listen = ['--listen-client-urls', `http://${client}`, '--advertise-client-urls', `http://${client}`]
    const peers = ['--listen-peer-urls', `http://${peer}`, '--initial-advertise-peer-urls', `http://${peer}`]
    const form = ['--initial-cluster', cluster, '--initial-cluster-state', 'new']
    return spawnChild('etcd', [...place, ...listen, ...peers, ...form], { stdio: ['ignore', 'ignore', 'ignore'] })
  })
  const stop = async (): Promise<void> => {
    await Promise.all(children.map((child) => endChild(child)))
    removeDirectory(directory)
  }
  const clients = members.map(({ client }) => client)
  try {
    const leads = await leaderOf(clients)
    return {
      leader: clients[leads] ?? '',
      roles: { leader: children[leads]?.pid, followers: children.filter((_, n) => n !== leads).map(({ pid }) => pid) },
      leaderPid: async () => children[await leaderOf(clients)]?.pid,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Which of the members leads. */
function leaderOf(clients: readonly string[]): Promise<number> {
  return eventually('a leader of etcd', async () => {
    const answers = await Promise.all(
      clients.map((client) => call('POST', `http://${client}/v3/maintenance/status`, '{}', {}, 2_000)),
    )
    const found = answers.findIndex(({ body }) => {
      const { header, leader } = JSON.parse(body.toString()) as Status
      return leader !== undefined && leader !== '0' && leader === header?.member_id
    })
    return found < 0 ? null : found
  })
}

/**
 * A closed loop over the JSON gateway, by wrk. Keys and values are base64; three characters of a key are four of it, so a key is put
 * together of pieces that are encoded beforehand: `key` and two numbers of three figures.
 */
export function runGateway(load: Load): Promise<LoadResult> {
  if (load.keys > 1e6) throw new Error('keys have six figures')
  const pieces = Array.from({ length: 1000 }, (_, n) => Buffer.from(String(n).padStart(3, '0')).toString('base64'))
  const value = Buffer.from('v'.repeat(load.valueBytes)).toString('base64')
  const prelude = `
local pieces = { ${pieces.map((one) => `"${one}"`).join(', ')} }
local value = "${value}"
`
  const prefix = Buffer.from('key').toString('base64')
  const key = `"${prefix}" .. pieces[math.floor(n / 1000) + 1] .. pieces[n % 1000 + 1]`
  const draw = `local n = math.random(0, ${load.keys - 1})`
  const request =
    load.method === 'PUT'
      ? `${draw} return wrk.format("POST", "/v3/kv/put", nil, '{"key":"' .. ${key} .. '","value":"' .. value .. '"}')`
      : `${draw} return wrk.format("POST", "/v3/kv/range", nil, '{"key":"' .. ${key} .. '"}')`
  return startWrk(load, request, prelude).result
}
