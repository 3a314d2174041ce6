package ace

import "lamplighter/internal/cose"

// COSE Key Types.
const (
	ktyOKP = 1
	ktyEC2 = 2
)

// SignParams are sign_params of a Signature Algorithm: its COSE capabilities and
// those of its keys. Nil stands for an algorithm that is not built. KGO, Section
// 6.3; RFC 9053, Section 8.
//
//	EdDSA [[OKP], [OKP, Ed25519]], ES256 [[EC2], [EC2, P-256]]
func SignParams(alg cose.Algorithm) [][]int {
	switch alg {
	case cose.EdDSA:
		return capabilities(ktyOKP, cose.Ed25519)
	case cose.ES256:
		return capabilities(ktyEC2, cose.P256)
	}
	return nil
}

// ECDHParams are ecdh_params of a Pairwise Key Agreement Algorithm on a curve: its
// COSE capabilities and those of its keys. Nil stands for a curve that is not
// built. KGO, Section 6.3; RFC 9053, Section 8.
//
//	[[OKP], [OKP, X25519]] or [[EC2], [EC2, P-256]]
func ECDHParams(curve cose.Curve) [][]int {
	switch curve {
	case cose.X25519:
		return capabilities(ktyOKP, cose.X25519)
	case cose.P256:
		return capabilities(ktyEC2, cose.P256)
	}
	return nil
}

func capabilities(kty int, curve cose.Curve) [][]int { return [][]int{{kty}, {kty, int(curve)}} }

// ECDHCurve is the curve on which keys of a Signature Algorithm agree: what a
// group that signs uses in pairwise mode. It is 0 for an algorithm that is not
// built. RFC 10021, Section 2.5.2.
func ECDHCurve(sign cose.Algorithm) cose.Curve {
	switch sign {
	case cose.EdDSA:
		return cose.X25519
	case cose.ES256:
		return cose.P256
	}
	return 0
}
