/**
 * zod compiles schemas with `new Function` where it may; the page's content security policy forbids that, and every try
 * is reported as a violation. Imported before anything that builds a schema.
 */
import * as z from 'zod'

z.config({ jitless: true })
