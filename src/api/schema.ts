import { Type, type Static, type TProperties, type TSchema, type TSchemaOptions } from 'typebox'
import { assert } from '../lib/assert.ts'

/** The values that a schema describes, deeply readonly: nobody changes a value that was handed on. */
export type Shape<Schema extends TSchema> = Unchanging<Static<Schema>>

type Unchanging<Value> = Value extends readonly (infer Item)[]
  ? readonly Unchanging<Item>[]
  : Value extends object
    ? { readonly [Name in keyof Value]: Unchanging<Value[Name]> }
    : Value

/** Exactly one of the members of `All`, which are all optional. */
export type OneOf<All> = { [Name in keyof All]-?: Required<Pick<All, Name>> }[keyof All]

/** For objects that refuse properties that they do not name. */
export const closed = { additionalProperties: false }

/** `$id` among the options: the schema's name in the OpenAPI document, if it is to have one. */
export const object = <Properties extends TProperties>(properties: Properties, options: TSchemaOptions = {}) =>
  Type.Object(properties, { ...closed, ...options })

export const nullable = <Schema extends TSchema>(schema: Schema, description?: string) =>
  Type.Union([schema, Type.Null()], description === undefined ? {} : { description })

export const choice = <Word extends string>(words: readonly Word[], description?: string) =>
  Type.Unsafe<Word>({ type: 'string', enum: [...words], ...(description === undefined ? {} : { description }) })

/** Refers to `schema`, which the OpenAPI document holds once, under its `$id`. */
export const ref = <Schema extends TSchema>(schema: Schema) => {
  const id: unknown = Reflect.get(schema, '$id')
  assert(typeof id === 'string', 'a schema that is referred to has a name')
  return Type.Unsafe<Static<Schema>>({ $ref: id })
}
