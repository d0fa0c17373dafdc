declare const brand: unique symbol

/** A `T` that must not be mixed with other values of the same shape. Made only by a constructor function or a decoder. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name }
