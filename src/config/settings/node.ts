import { hostPort, reachable, reachableOrigin, type HostPort, type Origin } from '../../lib/host-port.ts'
import { limits } from '../../limits.ts'
import type { SettingsOf } from '../setting.ts'
import { path, visibleTexts, webOrigins, wholeNumbers } from '../values.ts'

/** Which node this is, and where it is found. */
export interface NodeConfig {
  readonly id: number
  readonly dataDirectory: string
  readonly api: HostPort
  readonly raft: HostPort
  /** Null: the address where the API listens. */
  readonly apiAdvertise: Origin | null
  /** `host:port`. Null: the address where the node listens for its peers. */
  readonly raftAdvertise: string | null
  /** Web pages of these origins may use the API: `https://ui.example`. */
  readonly apiOrigins: readonly string[]
  readonly clusterToken: string
  /** Null: the first token is made on the machine of the leader alone. */
  readonly authBootstrapFile: string | null
}

export const nodeSettings: SettingsOf<NodeConfig> = {
  id: {
    flag: 'id',
    placeholder: 'N',
    summary: 'the id of this node, for its whole life; never give it to another node',
    initial: null,
    required: true,
    ...wholeNumbers(1, limits.nodeIdMax),
  },
  dataDirectory: {
    flag: 'data-dir',
    placeholder: 'DIR',
    summary: 'the directory of the log and the state; it belongs to one node alone',
    allowed: 'a path; the directory is created if it is missing',
    initial: null,
    required: true,
    parse: path,
  },
  api: {
    flag: 'api',
    placeholder: 'HOST:PORT',
    summary: 'where the REST API listens',
    allowed: 'HOST:PORT, such as 127.0.0.1:7001, [::1]:7001 or 0.0.0.0:7001',
    initial: '127.0.0.1:7001',
    required: true,
    parse: hostPort,
  },
  raft: {
    flag: 'raft',
    placeholder: 'HOST:PORT',
    summary: 'where the node listens for its peers',
    allowed: 'HOST:PORT, such as 127.0.0.1:7101, [::1]:7101 or 0.0.0.0:7101',
    initial: '127.0.0.1:7101',
    required: true,
    parse: hostPort,
  },
  apiAdvertise: {
    flag: 'api-advertise',
    placeholder: 'HOST:PORT',
    summary: 'where clients reach the API; default: where it listens',
    allowed: 'HOST:PORT, http://HOST:PORT or https://HOST:PORT, with a real port and a host that others can reach',
    initial: null,
    required: false,
    parse: reachableOrigin,
  },
  raftAdvertise: {
    flag: 'raft-advertise',
    placeholder: 'HOST:PORT',
    summary: 'where peers reach this node; default: where it listens',
    allowed: 'HOST:PORT with a real port and a host that others can reach',
    initial: null,
    required: false,
    parse: reachable,
  },
  apiOrigins: {
    flag: 'api-origins',
    placeholder: 'ORIGIN,...',
    summary: 'web pages of these origins may use the API, as may those that the node serves itself',
    initial: '',
    required: false,
    ...webOrigins(limits.apiOriginsMax),
  },
  clusterToken: {
    flag: 'cluster-token',
    placeholder: 'TEXT',
    summary: 'part of the cluster id: clusters with another token refuse each other',
    initial: '',
    required: false,
    secret: true,
    ...visibleTexts(limits.clusterTokenCharactersMax),
  },
  authBootstrapFile: {
    flag: 'auth-bootstrap-file',
    placeholder: 'FILE',
    summary: 'whoever sends the secret in this file may make the first token of the cluster, from anywhere',
    allowed: `the path of a file with ${limits.auth.bootstrapSecretBytesMin} characters or more`,
    initial: null,
    required: false,
    parse: path,
  },
}
