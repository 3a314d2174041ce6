package ace

// CoAP Content-Formats.
const (
	FormatCBOR         = 60  // application/cbor
	FormatCWT          = 61  // application/cwt
	FormatACE          = 19  // application/ace+cbor
	FormatProblem      = 257 // application/concise-problem-details+cbor
	FormatACEGroupcomm = 261 // application/ace-groupcomm+cbor
	FormatACETRL       = 262 // application/ace-trl+cbor
)

// OAuth Parameters CBOR Mappings: labels in application/ace+cbor.
const (
	ParamAccessToken          = 1
	ParamExpiresIn            = 2
	ParamReqCnf               = 4
	ParamAudience             = 5
	ParamCnf                  = 8
	ParamScope                = 9
	ParamClientID             = 24
	ParamError                = 30
	ParamErrorDescription     = 31
	ParamErrorURI             = 32
	ParamGrantType            = 33
	ParamTokenType            = 34
	ParamRefreshToken         = 37
	ParamACEProfile           = 38
	ParamCNonce               = 39
	ParamNonce1               = 40
	ParamRSCnf                = 41
	ParamNonce2               = 42
	ParamACEClientRecipientID = 43
	ParamACEServerRecipientID = 44
	ParamSignInfo             = 45
	ParamKDCChallenge         = 46
)

// OAuth Grant Type CBOR Mappings.
const (
	GrantPassword          = 0
	GrantAuthorizationCode = 1
	GrantClientCredentials = 2
	GrantRefreshToken      = 3
)

// OAuth Access Token Types.
const (
	TokenBearer = 1
	TokenPoP    = 2
)

// ACE Profiles.
const (
	ProfileDTLS   = 1 // coap_dtls
	ProfileOSCORE = 2 // coap_oscore
)

// OAuth Error Code CBOR Mappings.
const (
	ErrorInvalidRequest          ASErrorCode = 1
	ErrorInvalidClient           ASErrorCode = 2
	ErrorInvalidGrant            ASErrorCode = 3
	ErrorUnauthorizedClient      ASErrorCode = 4
	ErrorUnsupportedGrantType    ASErrorCode = 5
	ErrorInvalidScope            ASErrorCode = 6
	ErrorUnsupportedPoPKey       ASErrorCode = 7
	ErrorIncompatibleACEProfiles ASErrorCode = 8
)

// CBOR Web Token (CWT) Claims.
const (
	ClaimISS        = 1
	ClaimSUB        = 2
	ClaimAUD        = 3
	ClaimEXP        = 4
	ClaimNBF        = 5
	ClaimIAT        = 6
	ClaimCTI        = 7
	ClaimCNF        = 8
	ClaimScope      = 9
	ClaimACEProfile = 38
	ClaimCNonce     = 39
	ClaimEXI        = 40
)

// CWT Confirmation Methods.
const (
	MethodCOSEKey = 1
	MethodKID     = 3
	MethodOSC     = 4 // OSCORE_Input_Material
)

// OSCORE Security Context Parameters.
const (
	OSCID        = 0
	OSCVersion   = 1
	OSCMS        = 2
	OSCHKDF      = 3
	OSCAlg       = 4
	OSCSalt      = 5
	OSCContextID = 6
)

// ACE Groupcomm Parameters: labels in application/ace-groupcomm+cbor.
const (
	GroupcommGID              = 0
	GroupcommGName            = 1
	GroupcommGURI             = 2
	GroupcommScope            = 3
	GroupcommGetCreds         = 4
	GroupcommClientCred       = 5
	GroupcommCNonce           = 6
	GroupcommGKTY             = 7
	GroupcommKey              = 8
	GroupcommNum              = 9
	GroupcommProfile          = 10
	GroupcommEXP              = 11
	GroupcommEXI              = 12
	GroupcommCreds            = 13
	GroupcommPeerRoles        = 14
	GroupcommPeerIdentifiers  = 15
	GroupcommGroupPolicies    = 16
	GroupcommKDCCred          = 17
	GroupcommKDCNonce         = 18
	GroupcommKDCCredVerify    = 19
	GroupcommRekeyingScheme   = 20
	GroupcommClientCredVerify = 24
	GroupcommCredsRepo        = 25
	GroupcommControlURI       = 26
	GroupcommMgtKeyMaterial   = 27
	GroupcommControlGroupURI  = 28
	GroupcommSignInfo         = 29
	GroupcommKDCChallenge     = 30
)

// RekeyingPointToPoint is the default of the ACE Groupcomm Rekeying Schemes.
const RekeyingPointToPoint = 0

// ACE Groupcomm Policies: labels in group_policies.
const (
	PolicySNSyncMethod           = 0
	PolicyKeyUpdateCheckInterval = 1 // seconds
	PolicyExpirationDelta        = 2 // seconds
)

// ACE Groupcomm Errors.
const (
	ErrorMembersOnly          ErrorID = 0 // Operation permitted only to group members
	ErrorRoles                ErrorID = 1 // Request inconsistent with the current roles
	ErrorCredential           ErrorID = 2 // Authentication credential incompatible with the group configuration
	ErrorPoP                  ErrorID = 3 // Invalid proof-of-possession evidence
	ErrorNoIndividualMaterial ErrorID = 4 // No available individual keying material
	ErrorTerminated           ErrorID = 5 // Group membership terminated
	ErrorDeleted              ErrorID = 6 // Group deleted
)

// Custom Problem Detail Keys (RFC 9594, Section 11; RFC 9770, Section 15).
const (
	ProblemACEGroupcommError = 0
	ProblemACETRLError       = 1
)

// CredFormatCCS is the COSE Header Parameter kccs: an untagged CWT Claims Set.
const CredFormatCCS = 14
