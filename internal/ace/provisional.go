package ace

// Provisional: suggested by draft-ietf-ace-key-groupcomm-oscore-21, Section 17.
const (
	ParamECDHInfo   = 47 // 17.2
	ParamKDCDHCreds = 48 // 17.2

	GroupcommGroupSenderID = 21 // 17.3
	GroupcommECDHInfo      = 31 // 17.3
	GroupcommKDCDHCreds    = 32 // 17.3
	GroupcommSignEncKey    = 33 // 17.3
	GroupcommStaleNodeIDs  = 34 // 17.3

	GKTYGroupOSCORE                  = 1 // 17.4, Group_OSCORE_Input_Material object
	ProfileCoAPGroupOSCOREApp        = 1 // 17.5, coap_group_oscore_app
	GroupOSCSenderID                 = 7 // 17.6, group_SenderId
	GroupOSCCredFmt                  = 8
	GroupOSCGpEncAlg                 = 9
	GroupOSCSignAlg                  = 10
	GroupOSCSignParams               = 11
	GroupOSCECDHAlg                  = 12
	GroupOSCECDHParams               = 13
	formatAIFGroupcomm               = 295 // 17.9, application/aif+cbor;toid=oscore-gname;tperm=oscore-gperm
	TagExtendedScope          uint64 = 1668546817 + formatAIFGroupcomm/255*256 + formatAIFGroupcomm%255

	// CBOR tag of an I-Regexp, draft-ietf-ace-oscore-gm-admin-17, Section 3.
	TagIRegexp uint64 = 21065

	ErrorSignaturesNotUsed ErrorID = 7 // 17.12, Signatures not used in the group
	ErrorVerifiersOnly     ErrorID = 8 // Operation permitted only to signature verifiers
	ErrorNotActive         ErrorID = 9 // Group currently not active
)

// Provisional: of this project, from the range for private use of the CWT
// Claims registry (integers below -65536; RFC 8392, Section 9.1).
const (
	// ClaimCredThumbprint is a bstr of 32 bytes: SHA-256 over the authentication
	// credential, as distributed, that the token's subject must join with.
	ClaimCredThumbprint = -65537
	// ClaimActor is a tstr: who obtained the token, when that is not the
	// subject itself (an assisted join).
	ClaimActor = -65538
)

// Provisional: suggested by draft-ietf-ace-oscore-gm-admin-17, Section 7.
const (
	AdminHKDF             = -1
	AdminCredFmt          = -2
	AdminGroupMode        = -3
	AdminGpEncAlg         = -4
	AdminSignAlg          = -5
	AdminSignParams       = -6
	AdminPairwiseMode     = -7
	AdminAlg              = -8
	AdminECDHAlg          = -9
	AdminECDHParams       = -10
	AdminRT               = -11
	AdminActive           = -12
	AdminGroupName        = -13
	AdminGroupDescription = -14
	AdminMaxStaleSets     = -15
	AdminGIDReuse         = -16
	AdminAppGroups        = -17
	AdminJoiningURI       = -18
	AdminASURI            = -19
	AdminDetReq           = -25
	AdminDetHashAlg       = -26
	AdminConfFilter       = -27
	AdminAppGroupsDiff    = -28

	ErrorActive            ErrorID = 10 // Section 8, Group currently active
	ErrorNoName            ErrorID = 11 // Unable to determine a group name
	ErrorUnsupportedConfig ErrorID = 12 // Unsupported group configuration
)

// Provisional: resource types (values of the link attribute rt) of KGO, Section
// 17.10, and GMA, Section 11.3.
const (
	ResourceTypeGroup           = "core.osc.gm"    // a group-membership resource
	ResourceTypeGroupCollection = "core.osc.gcoll" // the group-collection resource
	ResourceTypeGroupConf       = "core.osc.gconf" // a group-configuration resource
)

// Provisional: draft-ietf-ace-workflow-and-params-08, Section 7: the Custom Problem
// Detail Key ace-error.
const ProblemACEError = 2

// Provisional: of this project, from the range for private use of the ACE
// Groupcomm Policies registry (integers below -65536; RFC 9594, Section 11.10).
// They stand in group_policies of a group configuration only.
const (
	PolicyRekeyOnJoin    = -65537
	PolicyRekeyPeriod    = -65538
	PolicyRekeyingScheme = -65539
	PolicyMulticast      = -65540
	PolicyKeyLifetime    = -65541
)
