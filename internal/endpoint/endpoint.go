// Package endpoint does the input and output of CoAP: sockets with the message
// layer of RFC 7252, natively also in DTLS sessions with pre-shared keys, and the
// client side of CoAP over WebSockets (RFC 8323) with a forward proxy behind it
// (groupcomm-proxy). OSCORE is put in front of a handler by [coap.Secure] and
// around an exchanger by the associations; this package keeps no keys.
package endpoint
