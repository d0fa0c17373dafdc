import Fastify, { type FastifyInstance } from 'fastify'
import { limits } from '../limits.ts'
import { AllowedMethods } from './protocol/allowed-methods.ts'
import { AnswerRoom } from './protocol/answer-room.ts'
import { apiServerDefaults, createApiServer, type ApiServerOptions } from './protocol/api-server.ts'
import { leaveBody, takeRawBodies, takeStreamedRecords } from './protocol/body.ts'
import { BodyRoom } from './protocol/body-room.ts'
import { Connections, connectionsDefaults, type ConnectionsOptions } from './protocol/connections.ts'
import { guardRoutes } from './protocol/access.ts'
import { Audit, type OnAudit } from './protocol/audit.ts'
import { TokenBudgets } from './protocol/token-budgets.ts'
import { AuthRequests } from './auth/auth-requests.ts'
import { registerAuthRoutes } from './auth/routes.ts'
import { answerFailures, sendFailure, type FailureDependencies } from './protocol/failures.ts'
import { Lines } from './protocol/lines.ts'
import { registerDashboard } from './dashboard.ts'
import { registerDocumentationRoutes, registerOpenapi } from './openapi.ts'
import { Overload } from './overload.ts'
import { keepQueryText } from './protocol/query.ts'
import { compilersFactory } from './protocol/validators.ts'
import { registerClusterRoutes } from './cluster/routes.ts'
import { takeJsonBodies } from './protocol/json.ts'
import { HistoryRequests } from './history/history-requests.ts'
import { registerHistoryRoutes } from './history/routes.ts'
import { KeyRequests } from './keys/key-requests.ts'
import { registerKeyRoutes } from './keys/routes.ts'
import { LeaseRequests } from './leases/lease-requests.ts'
import { registerLeaseRoutes } from './leases/routes.ts'
import { LockRequests } from './locks/lock-requests.ts'
import { registerLockRoutes } from './locks/routes.ts'
import { registerMembershipRoutes } from './membership/routes.ts'
import { registerOperatingRoutes } from './operating/routes.ts'
import { importDefaults, ImportRequests, type ImportOptions } from './ranges/import-requests.ts'
import { registerImportRoutes } from './ranges/import-routes.ts'
import { RangeRequests } from './ranges/range-requests.ts'
import { registerRangeRoutes } from './ranges/routes.ts'
import { TransactionRequests } from './transactions/transaction-requests.ts'
import { registerTransactionRoutes } from './transactions/routes.ts'
import { registerWatchRoutes } from './watches/routes.ts'
import { WatchRequests } from './watches/watch-requests.ts'
import { WatchStreams, watchStreamsDefaults, type WatchStreamsOptions } from './watches/watch-streams.ts'
import { checkNamesOfWrites } from './protocol/names-of-writes.ts'
import { validatorOptions } from './protocol/body-validation.ts'
import { mistakeIn } from './protocol/raw-failure.ts'
import type { OnMistaken } from './protocol/secure-server.ts'
import { RequestCounts } from './protocol/request-counts.ts'
import { guardAgainstOtherSites } from './protocol/origin-guard.ts'
import { SlowRequests } from './protocol/slow-requests.ts'
import type { SlowLog } from '../lib/slow-log.ts'
import type { Services } from '../api/services.ts'
import type { TlsSource } from '../tls/identity.ts'
import { importsMax, StreamSlots, streamsMax } from './protocol/stream-slots.ts'

export interface AppOptions extends FailureDependencies {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Takes lines about slow requests; left out or null: nobody wants to know. */
  readonly slow?: SlowLog | null
  /** Told of refused connections of clients: their number when there are too many, or the error of the system that prevented one. */
  readonly onConnectionsRefused: (reason: number | Error) => void
  /** Told of a client that speaks another protocol, or with which TLS fails, and of its address. */
  readonly onClientMistaken?: (detail: string, remote: string) => void
  /** Told of changes of members, roles and tokens, and of requests that are refused for want of a right. */
  readonly onAudit?: OnAudit
  /** The text of the file of `--auth-bootstrap-file`; left out: there is none. */
  readonly bootstrapSecret?: () => Promise<string | null>
  /** Milliseconds of the wall clock. Left out: the system's. */
  readonly wall?: () => number
  readonly connections?: Partial<ConnectionsOptions>
  /** Left out or null: the API speaks http. */
  readonly tls?: TlsSource | null
  /** Origins of web pages that may use the API, in addition to the node's own: `https://ui.example`. */
  readonly origins?: readonly string[]
  /** Timeouts of the listener, for tests that cannot wait. */
  readonly server?: Partial<ApiServerOptions>
  /** Bounds of imports, for tests that cannot wait. */
  readonly imports?: Partial<ImportOptions>
  /** Times and sizes of watches, for tests that cannot wait. */
  readonly watches?: Partial<WatchStreamsOptions>
  /** Bytes of answers that may be in memory at once. */
  readonly answerBytesMax?: number
  /** Bytes of bodies that may be in memory at once. */
  readonly bodyBytesMax?: number
}

const systemWall = (): number => Date.now()

/**
 * The REST front over the services of the node. It has no logger of its own: a log line, and a logger made for it, would be the
 * largest part of the cost of a request. Faults are reported through the options.
 */
export function buildApp(options: AppOptions, services: Services): FastifyInstance {
  const serverOptions = { ...apiServerDefaults, ...options.server }
  // One count for all listeners: a host name may resolve to several addresses.
  const allowed = new AllowedMethods()
  const counts = new RequestCounts(allowed)
  const connections = new Connections(
    { ...connectionsDefaults, ...options.connections },
    { now: options.now, onRefused: options.onConnectionsRefused, counts },
  )
  const room = new AnswerRoom(options.answerBytesMax)
  const rooms = { answers: room, bodies: new BodyRoom(options.bodyBytesMax) }
  const { slow: log = null, now } = options
  const slow = log === null ? null : new SlowRequests({ log, routes: allowed, now })
  const lines = new Lines(serverOptions, { rooms, now, slow, counts, overload: new Overload(services.keys) })
  const { onConnectionsRefused: onAcceptFailed, onClientMistaken, tls = null } = options
  const onMistaken: OnMistaken = (detail, { remoteAddress = 'unknown' }) => onClientMistaken?.(detail, remoteAddress)
  const ends: (() => void)[] = [() => lines.close()]
  const atClosing = (end: () => void): void => void ends.push(end)
  const served = { connections, lines, onAcceptFailed, tls, onMistaken, atClosing }
  const { onUnexpected, onFatal } = options
  const failing = { onUnexpected, onFatal, server: services.cluster, auth: services.auth }
  const app = Fastify({
    logger: false,
    serverFactory: (handler) => createApiServer(serverOptions, { handler, ...served }),
    clientErrorHandler: (error, socket) => {
      const mistake = mistakeIn(error)
      if (mistake !== null) onMistaken(mistake, socket)
      lines.onClientError(error, socket)
    },
    frameworkErrors: (error, request, reply) => void sendFailure(error, request, reply, failing),
    bodyLimit: limits.jsonBodyBytesMax,
    // A request that arrives while the node stops gets the node's own answer, which is a problem document.
    return503OnClosing: false,
    // Where GET is cheap, HEAD does the same work. The other routes register their own HEAD.
    exposeHeadRoutes: true,
    trustProxy: false,
    routerOptions: { maxParamLength: limits.keyBytesMax, querystringParser: keepQueryText },
    ajv: { customOptions: validatorOptions },
    schemaController: { compilersFactory },
  })
  app.addHook('preClose', async () => {
    for (const end of ends) end()
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', leaveBody)
  allowed.watch(app)
  const audit = new Audit(options.onAudit ?? (() => {}), options.now)
  audit.watch(app)
  answerFailures(app, allowed, audit, failing)
  guardAgainstOtherSites(app, options.origins ?? [])
  const budgets = new TokenBudgets(options.now)
  guardRoutes(app, services.auth, { budgets, wall: options.wall ?? systemWall })
  checkNamesOfWrites(app)
  app.addHook(
    'onClose',
    services.auth.onChange(() => budgets.onChange(services.auth.table)),
  )
  registerResources(app, options, services, { room, slow, counts })
  return app
}

interface Shared {
  readonly room: AnswerRoom
  readonly slow: SlowRequests | null
  readonly counts: RequestCounts
}

/** The routes of each resource, with the bodies that they take. */
function registerResources(
  app: FastifyInstance,
  options: AppOptions,
  services: Services,
  { room, slow, counts }: Shared,
): void {
  const slots = new StreamSlots(streamsMax(services.valueBytesMax), 'streams')

  registerOpenapi(app, services.version)
  void app.register(async (kv) => {
    takeRawBodies(kv)
    const key = new KeyRequests(services, room)
    registerKeyRoutes(kv, key, services.valueBytesMax)
    registerRangeRoutes(kv, new RangeRequests(services, { slots, room, now: options.now }), key)
  })
  void app.register(async (imports) => {
    takeStreamedRecords(imports)
    const given = { max: importsMax(services.valueBytesMax), ...importDefaults, ...options.imports }
    registerImportRoutes(imports, new ImportRequests(given, services, options.now))
  })
  void app.register(async (transactions) => {
    takeJsonBodies(transactions)
    registerTransactionRoutes(transactions, new TransactionRequests(services, room))
  })
  const streams = new WatchStreams({ ...watchStreamsDefaults, ...options.watches }, options.now)
  const endChecks = services.auth.onChange(() => streams.checkGuards())
  app.addHook('onClose', () => {
    endChecks()
    streams.close()
  })
  void app.register(async (watches) => registerWatchRoutes(watches, new WatchRequests(services, streams)))
  void app.register(async (history) => {
    takeJsonBodies(history)
    registerHistoryRoutes(history, new HistoryRequests(services, room))
  })
  void app.register(async (leases) => {
    takeJsonBodies(leases)
    registerLeaseRoutes(leases, new LeaseRequests(services, room, options.now))
    registerLockRoutes(leases, new LockRequests(services, room, options.now))
  })
  void app.register(async (auth) => {
    takeJsonBodies(auth)
    const { bootstrapSecret: secret = async () => null, wall = systemWall } = options
    registerAuthRoutes(auth, new AuthRequests({ secret, wall }, services))
  })
  void app.register(async (cluster) => {
    takeJsonBodies(cluster)
    registerClusterRoutes(cluster, services.cluster, slots)
    registerMembershipRoutes(cluster, services.cluster)
  })
  const isSecure = (options.tls ?? null) !== null
  void app.register(async (operating) => {
    registerOperatingRoutes(operating, services, room, { slow, requests: counts })
    // Once there are tokens, nobody learns of members without one.
    const self = () => (services.auth.table === null ? services.cluster.self : null)
    registerDocumentationRoutes(operating, { self, isSecure })
  })
  void app.register(async (pages) => registerDashboard(pages, { isSecure }))
}
