package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// ASErrorCode is the error of an Authorization Server.
type ASErrorCode int

var asErrorNames = map[ASErrorCode]string{
	ErrorInvalidRequest:          "invalid_request",
	ErrorInvalidClient:           "invalid_client",
	ErrorInvalidGrant:            "invalid_grant",
	ErrorUnauthorizedClient:      "unauthorized_client",
	ErrorUnsupportedGrantType:    "unsupported_grant_type",
	ErrorInvalidScope:            "invalid_scope",
	ErrorUnsupportedPoPKey:       "unsupported_pop_key",
	ErrorIncompatibleACEProfiles: "incompatible_ace_profiles",
}

// String returns the name in OAuth.
func (c ASErrorCode) String() string {
	if name, ok := asErrorNames[c]; ok {
		return name
	}
	return fmt.Sprintf("error %d", int(c))
}

// ASErrorBody is an error answer of the Authorization Server. RFC 9200, Section
// 5.8.3.
type ASErrorBody struct {
	Code        ASErrorCode `cbor:"30,keyasint"`
	Description string      `cbor:"31,keyasint,omitempty"`
	URI         string      `cbor:"32,keyasint,omitempty"`
}

func (e *ASErrorBody) check() error {
	if e.Code == 0 {
		return fmt.Errorf("%w: an error without a code", ErrDecode)
	}
	return nil
}

// ASError returns an error answer of the Authorization Server.
func ASError(code coap.Code, id ASErrorCode, description string) *coap.Message {
	return coap.Respond(code, FormatACE, Encode(ASErrorBody{Code: id, Description: description}))
}

// asProblem is a Concise Problem Details object with the ACE entry.
//
//	{ ? -2: detail: tstr, 2: { 0: error-code: int } }
type asProblem struct {
	Detail string          `cbor:"-2,keyasint,omitempty"`
	Error  *asProblemError `cbor:"2,keyasint,omitempty"`
}

type asProblemError struct {
	Code ASErrorCode `cbor:"0,keyasint"`
}

// ASProblem is [ASError] in the form that may replace it.
// draft-ietf-ace-workflow-and-params-08, Section 7.
func ASProblem(code coap.Code, id ASErrorCode, description string) *coap.Message {
	return coap.Respond(code, FormatProblem, Encode(asProblem{Detail: description, Error: &asProblemError{id}}))
}

// ParseASError reads what [ASError] and [ASProblem] make. ok is false for any other
// message.
func ParseASError(m *coap.Message) (body ASErrorBody, ok bool) {
	if format, _ := coap.ContentFormat(m); format == FormatProblem && m.Code >= coap.BadRequest {
		var p asProblem
		if err := cbor.Unmarshal(m.Payload, &p); err != nil || p.Error == nil || p.Error.Code == 0 {
			return body, false
		}
		return ASErrorBody{Code: p.Error.Code, Description: p.Detail}, true
	}
	if format, has := coap.ContentFormat(m); !has || format != FormatACE || m.Code < coap.BadRequest {
		return body, false
	}
	payload, err := Decode[ASErrorBody](m.Payload)
	if err != nil {
		return body, false
	}
	return *payload, true
}

// ErrorID is an error of a Group Manager.
type ErrorID int

var errorTitles = map[ErrorID]string{
	ErrorMembersOnly:          "Operation permitted only to group members",
	ErrorRoles:                "Request inconsistent with the current roles",
	ErrorCredential:           "Authentication credential incompatible with the group configuration",
	ErrorPoP:                  "Invalid proof-of-possession evidence",
	ErrorNoIndividualMaterial: "No available individual keying material",
	ErrorTerminated:           "Group membership terminated",
	ErrorDeleted:              "Group deleted",
	ErrorSignaturesNotUsed:    "Signatures not used in the group",
	ErrorVerifiersOnly:        "Operation permitted only to signature verifiers",
	ErrorNotActive:            "Group currently not active",
	ErrorActive:               "Group currently active",
	ErrorNoName:               "Unable to determine a group name",
	ErrorUnsupportedConfig:    "Unsupported group configuration",
}

// String returns the error's description in the registry.
func (id ErrorID) String() string {
	if title, ok := errorTitles[id]; ok {
		return title
	}
	return fmt.Sprintf("error %d", int(id))
}

// problem is a Concise Problem Details object with the ACE Groupcomm entry.
//
//	{ ? -2: detail: tstr, 0: { 0: error-id: int } }  ; RFC 9290; RFC 9594, Section 4.1.2
type problem struct {
	Detail string        `cbor:"-2,keyasint,omitempty"`
	Error  *problemError `cbor:"0,keyasint,omitempty"`
}

type problemError struct {
	ID *ErrorID `cbor:"0,keyasint"`
}

// Problem returns an error answer of a Group Manager. detail is one sentence,
// or empty.
func Problem(code coap.Code, id ErrorID, detail string) *coap.Message {
	return coap.Respond(code, FormatProblem, Encode(problem{Detail: detail, Error: &problemError{ID: &id}}))
}

// ParseProblem reads what [Problem] makes. ok is false for any other message.
func ParseProblem(m *coap.Message) (id ErrorID, detail string, ok bool) {
	if format, has := coap.ContentFormat(m); !has || format != FormatProblem {
		return 0, "", false
	}
	var p problem
	if err := cbor.Unmarshal(m.Payload, &p); err != nil || p.Error == nil || p.Error.ID == nil {
		return 0, "", false
	}
	return *p.Error.ID, p.Detail, true
}
