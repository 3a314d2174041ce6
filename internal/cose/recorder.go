package cose

// Recorder, when not nil, is told of every ciphertext that an [AEAD] made or
// accepted, with the key, the nonce and the plaintext. It is nil outside tests.
//
// That no nonce is ever used for two ciphertexts under one key cannot be tested
// at the callers, as each sees only its own messages. Every cipher of this
// project comes from [NewAEAD], so a test that sets Recorder in all processes
// and compares hashes of (key, nonce) against hashes of ciphertexts sees every
// use; equal ciphertexts (a retransmission, sealed here and opened there) are
// allowed. Set it before any AEAD is used; it may be called concurrently and
// must not keep the slices.
var Recorder func(key, nonce, plaintext, ciphertext []byte)
