/** The two words main and preload share. The page asks for a connection; main answers with one end of a message channel. */
export const connectChannel = 'quiltbee:connect'
export const portChannel = 'quiltbee:port'
