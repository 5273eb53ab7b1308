/** The product's page on an in-memory node. The order matters: what the page finds in `window` must be there before it. */
import '#renderer/zod-setup.ts'
import './preload.ts'
import '#renderer/main.ts'
