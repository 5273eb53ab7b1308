/** A name from outside as one that any file system takes, and that cannot leave its folder. Pure. */
const maximumBytes = 120
const reserved = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

export function safeFileName(name: string): string {
  const plain = name
    .normalize('NFC')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be replaced.
    .replace(/[<>:"/\\|?*\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, '_')
    .replace(/^[. ]+|[. ]+$/g, '')
  const named = plain === '' ? 'data' : reserved.test(plain) ? `_${plain}` : plain
  return shorten(named)
}

/** The extension says the format: it stays. */
function shorten(name: string): string {
  const extension = /\.[A-Za-z0-9]{1,12}$/.exec(name)?.[0] ?? ''
  let stem = name.slice(0, name.length - extension.length)
  while (Buffer.byteLength(stem + extension) > maximumBytes) stem = [...stem].slice(0, -1).join('')
  return stem + extension
}
