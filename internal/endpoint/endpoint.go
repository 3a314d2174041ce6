// Package endpoint does the input and output of CoAP: sockets with the message
// layer of RFC 7252, and the client side of CoAP over WebSockets (RFC 8323)
// with a forward proxy behind it (groupcomm-proxy). Security is put in front of
// a handler by [coap.Secure] and around an exchanger by the associations; this
// package knows no keys.
package endpoint
