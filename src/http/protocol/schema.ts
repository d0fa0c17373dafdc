import { Type, type TProperties, type TSchema } from 'typebox'

/** Fields that a schema does not name are refused. */
export const closed = { additionalProperties: false }

export const object = <Properties extends TProperties>(properties: Properties, $id?: string) =>
  Type.Object(properties, $id === undefined ? closed : { ...closed, $id })

export const nullable = <Schema extends TSchema>(schema: Schema, description?: string) =>
  Type.Union([schema, Type.Null()], description === undefined ? {} : { description })

export const ref = (name: string) => Type.Ref(name)

export const choice = (...choices: string[]) => Type.Unsafe<string>({ type: 'string', enum: choices })
