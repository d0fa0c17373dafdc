import { limits } from '../../src/limits.ts'

export type Limits = typeof limits
/** What the documents say, made of the limits. */
type Told = (bounds: Limits) => string

const KiB = 1024
const MiB = 1024 ** 2
const number = (value: number): string => value.toLocaleString('en-US')
const seconds = (ms: number): string => `${ms / 1_000} s`
const days = (ms: number): string => `${number(ms / 86_400_000)} days`
const kib = (bytes: number): string => `${bytes / KiB} KiB`
const mib = (bytes: number): string => `${bytes / MiB} MiB`

/** A table of a document whose second column is a bound. Every row of it is here. */
export interface BoundsTable {
  readonly document: string
  /** The heading under which it stands. */
  readonly heading: string
  readonly rows: Readonly<Record<string, Told>>
}

export const boundsTables: readonly BoundsTable[] = [
  {
    document: 'docs/HTTP.md',
    heading: '## Leases and locks',
    rows: {
      '`ttlMs`, `ttl=`': ({ lease }) => `${seconds(lease.ttlMsMin)} to ${days(lease.ttlMsMax)}`,
      '`waitMs`, which comes on top of `timeout=`': ({ lockWaitMsMax }) => seconds(lockWaitMsMax),
      'leases, those of keys and locks included': ({ leases }) => `${number(leases.leasesMax)} a cluster`,
      'keys that belong to leases': ({ leases }) => `${number(leases.attachedKeysMax)} a cluster`,
      'what one change removes of a lease': ({ leases }) =>
        `${number(leases.endKeysMax)} keys, ${mib(leases.endBytesMax)} of records, beyond which the last may go`,
      '`owner`': ({ lock }) => `${number(lock.ownerBytesMax)} bytes`,
      'requests that wait for a lock': ({ lock }) => `${number(lock.waitsMax)} a node`,
    },
  },
  {
    document: 'docs/HTTP.md',
    heading: '## Tokens',
    rows: {
      'roles; tokens; the bytes of all of them': ({ auth }) =>
        `${number(auth.rolesMax)}; ${number(auth.tokensMax)}; ${mib(auth.tableBytesMax)}`,
      'grants of one role; roles of one token': ({ auth }) => `${auth.grantsMax}; ${auth.rolesOfTokenMax}`,
      '`ttlMs` of a token; `requestsPerSecond`, `bytesPerSecond`': ({ auth }) =>
        `1 ms to ${days(auth.ttlMsMax)}; 1 to ${number(auth.perSecondMax)}`,
    },
  },
  {
    document: 'docs/HTTP.md',
    heading: '## Connections',
    rows: {
      'request line and headers': ({ httpHeaderBytesMax }) => kib(httpHeaderBytesMax),
      'a value': () => '`--value-bytes-max`',
      'a transaction: its values; its body': ({ transactionValueBytesMax, transactionBodyBytesMax }) =>
        `${mib(transactionValueBytesMax)}; ${mib(transactionBodyBytesMax)}`,
      'a line of an import': () => 'six times the largest value and key, and 1 KiB',
      'any other body': ({ jsonBodyBytesMax }) => kib(jsonBodyBytesMax),
      'values in a body, nested ones included': ({ transactionBodyValuesMax, jsonBodyValuesMax }) =>
        `a transaction: ${number(transactionBodyValuesMax)}; a record: 16; others: ${number(jsonBodyValuesMax)}`,
      'the arrival of the headers, of the whole': (bounds) =>
        `${seconds(bounds.httpHeadersTimeoutMs)}, ${seconds(bounds.httpReceiveTimeoutMs)} ` +
        `(an import: ${seconds(bounds.importSilenceMsMax)} without anything)`,
      watches: ({ watchersMax }) => `${number(watchersMax)}, and half of the connections`,
      connections: ({ httpConnectionsMax }) =>
        `${number(httpConnectionsMax)}, or as many as the node has descriptors for`,
      'requests at once; on one connection': ({ httpRequestsMax, httpPipelinedMax }) =>
        `${number(httpRequestsMax)}; about ${httpPipelinedMax}`,
      'writes that wait: how long for those before': ({ writeWaitMsMax, writesFewMax, writesFewBytesMax }) =>
        `${writeWaitMsMax} ms, beyond ${writesFewMax} of them or ${mib(writesFewBytesMax)}`,
      'bodies in memory, until they are answered': ({ httpBodyBytesMax }) => mib(httpBodyBytesMax),
      'answers in memory; what a client must take': (bounds) =>
        `${mib(bounds.httpAnswerBytesMax)}; ${kib(bounds.httpAnswerTakenBytesMin)} in ${seconds(bounds.httpAnswerStallTimeoutMs)}`,
    },
  },
  {
    document: 'docs/OPERATIONS.md',
    heading: '## What clients may leave waiting',
    rows: {
      'requests at once': ({ httpRequestsMax, httpPipelinedMax, httpRequestsCrowded }) =>
        `${number(httpRequestsMax)}; on one connection about ${httpPipelinedMax} before it is not read, and is closed while there are ${number(httpRequestsCrowded)}`,
      'safe requests of one connection side by side': ({ httpParallelMax, httpLineAnswerBytesMax }) =>
        `${httpParallelMax}, while ${mib(httpLineAnswerBytesMax)} of answers waits; others run alone`,
      'answers in memory': ({ httpAnswerBytesMax, watchPatienceMs }) =>
        `${mib(httpAnswerBytesMax)}; clients that have taken nothing for ${seconds(watchPatienceMs)} make room`,
      'bodies of requests in memory, from their arrival until the answer': ({ httpBodyBytesMax, watchPatienceMs }) =>
        `${mib(httpBodyBytesMax)}; clients that send nothing more for ${seconds(watchPatienceMs)} make room`,
      'values of single keys on their way from the store': ({ rowsReadBytesMax }) =>
        `${mib(rowsReadBytesMax)}, if each is as large as may be`,
      'what a client must take of its answers': (bounds) =>
        `${kib(bounds.httpAnswerTakenBytesMin)} in ${seconds(bounds.httpAnswerStallTimeoutMs)}, or its connection is closed`,
      'writes without an answer': ({ pendingProposalsMax, pendingProposalBytesMax }) =>
        `${number(pendingProposalsMax)}, and ${mib(pendingProposalBytesMax)} with the batches they travel in`,
      'how long those before it may keep a write of keys waiting': (bounds) =>
        `${bounds.writeWaitMsMax} ms, beyond ${bounds.writesFewMax} writes or ${mib(bounds.writesFewBytesMax)} of them`,
      'reads that wait for the leader, a revision or an entry to be applied': ({ pendingReadsMax }) =>
        number(pendingReadsMax),
      'what reads have asked the disk for and not received': ({ pendingReadsMax }) => number(pendingReadsMax),
      'requests about the cluster that wait for the leader, or that a leader does': (bounds) =>
        `${number(bounds.controlCallsMax)}, ${number(bounds.controlWorkMax)}`,
    },
  },
]

/** Bounds in sentences. */
export const boundsInWords: Readonly<Record<string, readonly Told[]>> = {
  'docs/HTTP.md': [
    ({ keyBytesMax }) => `A key is 1 to ${keyBytesMax} bytes`,
    ({ valueBytesMaxDefault }) => `\`--value-bytes-max\` (${mib(valueBytesMaxDefault)} unless set)`,
    ({ idempotencyKeyBytesMax }) => `(up to ${idempotencyKeyBytesMax} visible characters`,
    ({ keptValues: { inlineBytesMax, rings } }) =>
      `of up to ${inlineBytesMax} bytes are; of larger ones the latest ` +
      `${number(rings[0].slots)} of up to ${kib(rings[0].valueBytesMax)}, ${rings[1].slots} of up to ${kib(rings[1].valueBytesMax)} ` +
      `and ${rings[2].slots} of up to ${mib(rings[2].valueBytesMax)}`,
    ({ issuesMax }) => `the first ${issuesMax} are named`,
    ({ listItemsDefault, listItemsMax }) => `records (${listItemsDefault} unless asked, at most ${listItemsMax})`,
    ({ listBytesMax }) => `ends early when its values are large (${mib(listBytesMax)})`,
    ({ rangeDeleteKeysMax, history }) =>
      `of at most ${number(rangeDeleteKeysMax)} keys and ${mib(history.rangeBytesMax)} of records`,
    ({ httpStreamsMax }) => `serves up to ${httpStreamsMax} streams at once`,
    ({ importChunkRecordsMax, importChunkBytesMax }) =>
      `up to ${importChunkRecordsMax} or ${kib(importChunkBytesMax)} of them as one atomic change`,
    ({ importSilenceMsMax, importSentBytesMin, importSlowMsMax }) =>
      `nothing comes for ${seconds(importSilenceMsMax)}, or less than ${kib(importSentBytesMin)} in ${importSlowMsMax / 60_000} minutes of waiting`,
    ({ transactionComparesMax, transactionOperationsMax }) =>
      `at most ${transactionComparesMax} comparisons and ${transactionOperationsMax} operations in each branch`,
    ({ transactionValueBytesMax }) => `Its values have at most ${mib(transactionValueBytesMax)} together`,
    ({ transaction }) => `that it names or lists ${mib(transaction.readBytesMax)}, a record counted`,
    ({ transaction, listItemsDefault, listItemsMax }) =>
      `(${listItemsDefault} unless asked, at most ${listItemsMax}), or ${mib(transaction.listBytesMax)} of them`,
    ({ watchersMax }) => `A node serves up to ${number(watchersMax)} watches`,
    ({ watchSignMs }) => `a comment every ${seconds(watchSignMs)}`,
    ({ watchStallMsMax }) => `takes nothing for ${seconds(watchStallMsMax)} is cut off`,
    ({ lease }) => `An id of your own is a number up to ${number(lease.idMax)}`,
    ({ lock }) => `the first ${lock.waitersShownMax} of those who wait`,
    ({ requestTimeoutMsDefault, requestTimeoutMsMax }) =>
      `${seconds(requestTimeoutMsDefault)} unless given, at most ${seconds(requestTimeoutMsMax)}`,
    ({ maxStalenessMsMax }) => `(at most ${maxStalenessMsMax / 3_600_000} hours)`,
    ({ historyRevisionsMax }) => `\`revisions\` (0 to ${number(historyRevisionsMax)};`,
    ({ historyAgeMsMin, historyAgeMsMax }) => `\`ageMs\` (${number(historyAgeMsMin)} to ${number(historyAgeMsMax)})`,
    ({ historyBytesMin, historyBytesMax }) =>
      `\`bytes\` (${number(historyBytesMin)} to ${historyBytesMax / 1024 ** 4} TiB)`,
    ({ httpKeepAliveMs }) => `Connections are kept for ${seconds(httpKeepAliveMs)}`,
    ({ httpParallelMax, httpLineAnswerBytesMax }) =>
      `up to ${httpParallelMax}, as long as no more than ${mib(httpLineAnswerBytesMax)} of answers`,
    ({ watchPatienceMs }) => `clients that take nothing for ${seconds(watchPatienceMs)} are cut off`,
    ({ httpRefusedRestMs }) => `the connection is not read for ${httpRefusedRestMs} ms, and for up to a second`,
  ],
  'docs/OPERATIONS.md': [
    ({ rangeDeleteRestMsMax }) => `for as long as the one before took, ${seconds(rangeDeleteRestMsMax)} at most`,
    ({ nodeIdMax }) => `a whole number from 1 to ${nodeIdMax}`,
    ({ httpStreamsMax, httpStreamsBytesMax }) =>
      `${httpStreamsMax} at once, fewer with large values: about four values each, at most ${mib(httpStreamsBytesMax)} in all`,
    ({ importsMax }) => `16 MiB and 16 values each; ${importsMax} at once`,
    ({ auth }) => `the path of a file with ${auth.bootstrapSecretBytesMin} characters or more`,
    ({ httpHalfClosedWaitMs }) => `its reads that wait go on for ${seconds(httpHalfClosedWaitMs)}`,
  ],
  'docs/CLUSTER.md': [({ membersMax }) => `A cluster has at most ${membersMax} members`],
}

/** Bounds of the front and of its shapes at which no client is refused, or that follow from those that are told. */
export const untold: readonly string[] = [
  'auditPathCharactersMax',
  'auth.bootstrapSecretBytesMax',
  'countKeysMax',
  'httpAnswerPieceBytes',
  'httpConnectionsCheckMs',
  'httpIdleMsMin',
  'httpLingerBytesMax',
  'httpLingerMs',
  'httpReadAgainMin',
  'httpRefusalMsMax',
  'httpRefusalReportMs',
  'httpRefusalsMax',
  'httpRefusedRestEndsPerSecond',
  'httpRefusedRestMsMax',
  'httpStreamsForBackups',
  'httpTurnMsMax',
  'importBytesInFlightMax',
  'importChunksInFlightMax',
  'importsBytesMax',
  'recordMembersBytesMax',
  'skippedBodyBytesMax',
  'streamBytesMax',
  'streamRecordsMax',
  'watchSentBytesMax',
  'watchStepMax',
  'watchTakeBytesMax',
  'watchTextsBytesMax',
]

/** `limits`, and the names of those that were read, such as `lease.ttlMsMax`. */
export function recording(): { readonly bounds: Limits; readonly read: ReadonlySet<string> } {
  const read = new Set<string>()
  const watch = <Part extends object>(part: Part, prefix: string): Part =>
    new Proxy(part, {
      get(target, name, receiver) {
        const value: unknown = Reflect.get(target, name, receiver)
        read.add(`${prefix}${String(name)}`)
        const isPart = typeof value === 'object' && value !== null && !Array.isArray(value) && prefix === ''
        return isPart ? watch(value, `${String(name)}.`) : value
      },
    })
  return { bounds: watch(limits, ''), read }
}
