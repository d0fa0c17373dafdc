import { Type } from 'typebox'
import { limits } from '../limits.ts'
import { nullable, object, type Shape } from './schema.ts'

/* The shapes that `/history` and `/compaction` take and give. */

const revision = (description: string) => Type.Integer({ minimum: 0, description })

const VersionView = object({
  key: Type.String({ minLength: 1 }),
  value: Type.Optional(Type.String({ description: 'The value, when it is valid UTF-8.' })),
  valueBase64: Type.Optional(Type.String({ description: 'The value in base64, when it is not valid UTF-8.' })),
  createRevision: Type.Optional(revision('The change that created the key.')),
  modRevision: revision('The change that made this version.'),
  version: Type.Optional(Type.Integer({ minimum: 1, description: 'Writes since the key was created.' })),
  lease: Type.Optional(Type.Integer({ minimum: 0, description: 'The lease that the key was attached to; 0: none.' })),
  deleted: Type.Boolean({
    description: 'True: the key was deleted by this change, and the other members of a record are absent.',
  }),
})

export const HistoryAnswer = object({
  items: Type.Array(VersionView, { maxItems: limits.listItemsMax, description: 'The newest first.' }),
  revision: revision('What the page reflects.'),
  compactRevision: revision('The oldest revision that can still be read. Older versions are not shown.'),
  cursor: Type.Optional(Type.String({ description: 'Where the next page begins; absent on the last.' })),
})
export type HistoryAnswer = Shape<typeof HistoryAnswer>

const retentionMembers = {
  revisions: Type.Integer({
    minimum: 0,
    maximum: limits.historyRevisionsMax,
    description: 'How many changes are kept at most; 0: no history.',
  }),
  ageMs: Type.Integer({
    minimum: limits.historyAgeMsMin,
    maximum: limits.historyAgeMsMax,
    description: 'How long what was superseded is kept at most.',
  }),
  bytes: Type.Integer({
    minimum: limits.historyBytesMin,
    maximum: limits.historyBytesMax,
    description: 'How many bytes the rows of history have at most.',
  }),
}

export const RetentionBody = object(retentionMembers, {
  examples: [{ revisions: 1_000_000, ageMs: 24 * 3_600_000, bytes: 1024 ** 3 }],
})
export type RetentionBody = Shape<typeof RetentionBody>

export const CompactionBody = object(
  {
    revision: Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'The oldest revision that stays readable.',
    }),
  },
  { examples: [{ revision: 1 }] },
)
export type CompactionBody = Shape<typeof CompactionBody>

export const CompactionAnswer = object({
  compactRevision: revision('The oldest revision that can be read.'),
  revision: revision('The revision of the store.'),
  changes: Type.Integer({ minimum: 0, description: 'How many changes are kept.' }),
  bytes: Type.Integer({
    minimum: 0,
    description: 'How many bytes their rows have, and those of what they superseded.',
  }),
  retention: nullable(object(retentionMembers), 'Null: not every member of the cluster knows history yet.'),
})
export type CompactionAnswer = Shape<typeof CompactionAnswer>
