import { Type } from 'typebox'
import { limits } from '../../limits.ts'
import { bytes, deleteAnswers, deleteKey, getAnswers, keyParameter } from '../keys/operations.ts'
import { readErrors } from '../keys/read-errors.ts'
import { writeQuery } from '../keys/queries.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import { bodyErrors, jsonAnswer, type Operation } from '../protocol/operation.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { importLineBytesMax } from './import-record.ts'
import { deleteRangeQuery, listQuery } from './queries.ts'
import {
  contextHeaders,
  CountAnswer,
  deleteHeaders,
  getHeaders,
  ImportAnswer,
  ListAnswer,
  recordHeaders,
  RecordView,
} from '../../api/keys.ts'
import { ref } from '../../api/schema.ts'

const json = 'application/json'

const rangeNote = 'With `key` it is the operation on that one key instead, and takes the parameters of that.'

export const listKeys: Operation = {
  id: 'listKeys',
  access: 'keys',
  tag: 'keys',
  summary: 'List a range of keys',
  description:
    'Without bounds: all keys, in the order of their bytes. While history is kept, the pages of one listing show one revision; when ' +
    `that has been compacted meanwhile, the next page is refused. ${limits.httpStreamsMax} streams of whole ranges or of the whole state at ` +
    `most run on one node, fewer with large values. ${rangeNote}`,
  query: { ...keyParameter, ...listQuery.spec },
  headers: getHeaders,
  answers: {
    200: {
      description:
        'A page; with `countOnly` the count; with `Accept: application/x-ndjson` the whole range as one consistent view, ' +
        'a record a line; with `key` the value and its headers.',
      headers: recordHeaders,
      content: {
        [json]: Type.Union([ListAnswer, CountAnswer, ref(RecordView)]),
        'application/x-ndjson': ref(RecordView),
        'application/octet-stream': bytes,
      },
    },
    304: getAnswers[304],
    307: redirectAnswer,
  },
  errors: [...readErrors, 'key-not-found'],
}

export const deleteKeys: Operation = {
  id: 'deleteKeys',
  access: 'keys',
  tag: 'keys',
  summary: 'Delete a range of keys',
  description:
    `One atomic change, of at most ${limits.rangeDeleteKeysMax} keys and ${limits.history.rangeBytesMax / 1024 ** 2} MiB of records, beyond which the last of them may go: ` +
    'a range that holds more is refused whole. With ' +
    '`chunked=true` it is done in as many changes as it takes, each atomic; when they end early the problem tells in `deleted`, ' +
    '`revision` and `chunks` what was done.' +
    ` Without bounds only with \`all=true\`. ${rangeNote}`,
  query: { ...keyParameter, ...deleteRangeQuery.spec, prev: writeQuery.spec.prev },
  headers: deleteHeaders,
  retried:
    'A retry gets the first answer, and deletes nothing that was written since. With `chunked=true`, a deletion that ended early goes on ' +
    'where it ended, and the answer counts all of it.',
  answers: deleteAnswers,
  errors: [...deleteKey.errors, 'range-too-large', 'deletion-unfinished'],
}

export const importRecords: Operation = {
  id: 'importRecords',
  access: 'keys',
  tag: 'keys',
  summary: 'Write many records',
  description:
    'Takes records as a listing streams them, a line each, as many as there are. They are written in changes of up to ' +
    `${limits.importChunkRecordsMax} records, each atomic, in the order of the stream. A problem tells in \`line\` where the import ended, ` +
    'in `imported` how many records before it are in, and in `nextLine` where to go on. `timeout` is how long each change may take; the sender is waited for ' +
    `${limits.importSilenceMsMax / 1000} s at a time. A line has at most ${importLineBytesMax(limits.valueBytesMaxDefault)} bytes, or as many as ` +
    `a record with the largest value needs that the node was started with. ${limits.importsMax} imports at most run on one node, fewer with ` +
    'large values.',
  query: leaderQuery.spec,
  retried:
    'A retry writes what is not in yet. What is in is not written again, also when it was overwritten or deleted since; when all of it is in, ' +
    'the answer is the first one. The part of the stream that was not taken may differ from the first try.',
  body: 'records',
  answers: {
    200: { ...jsonAnswer('Everything is written.', ImportAnswer), headers: contextHeaders },
    307: redirectAnswer,
  },
  errors: [
    ...bodyErrors,
    'invalid-key',
    'value-encoding',
    'value-too-large',
    'read-timeout',
    'not-initialized',
    'idempotency-key-reused',
    'feature-unavailable',
    ...leaderErrors,
    'no-space',
    'outcome-unknown',
  ],
}
