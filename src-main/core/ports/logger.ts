/** What parts write to the log, for people who look for the cause of something. Never prompts, texts or keys. */
export interface Logger {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}
