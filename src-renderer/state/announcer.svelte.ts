/** The one place from which short confirmations are read out; a region for each button would be a hundred of them. */
export type Announcer = { readonly message: string; say(message: string): void }

export function createAnnouncer(): Announcer {
  let message = $state('')
  return {
    get message() {
      return message
    },
    say(next) {
      message = next
    },
  }
}
