package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func (s *site) bundles(by caller) {
	c := bundlev1.NewBundleClient(by.conn)
	s.call(by, "Bundle/GetBundle", "good", ask(c.GetBundle, &bundlev1.GetBundleRequest{}, func(b *types.Bundle) string {
		return fmt.Sprintf("%s x509=%v jwt=%v", b.TrustDomain, len(b.X509Authorities) > 0, len(b.JwtAuthorities) > 0)
	}))
	s.call(by, "Bundle/GetBundle", "masked", ask(c.GetBundle, &bundlev1.GetBundleRequest{OutputMask: &types.BundleMask{JwtAuthorities: true}}, func(b *types.Bundle) string {
		return fmt.Sprintf("%s x509=%v jwt=%v", b.TrustDomain, len(b.X509Authorities) > 0, len(b.JwtAuthorities) > 0)
	}))

	root := selfSigned(s.td)
	jwt := &types.JWTKey{PublicKey: pkixOf(newKey()), KeyId: by.name + "-key", ExpiresAt: time.Now().Add(time.Hour).Unix()}
	appended := func(b *types.Bundle) string {
		x509, keys := false, false
		for _, authority := range b.X509Authorities {
			x509 = x509 || bytes.Equal(authority.Asn1, root)
		}
		for _, key := range b.JwtAuthorities {
			keys = keys || key.KeyId == jwt.KeyId
		}
		return fmt.Sprintf("x509=%v jwt=%v", x509, keys)
	}
	add := func(name string, request *bundlev1.AppendBundleRequest) {
		s.call(by, "Bundle/AppendBundle", name, ask(c.AppendBundle, request, appended))
	}
	add("good", &bundlev1.AppendBundleRequest{X509Authorities: []*types.X509Certificate{{Asn1: root}}, JwtAuthorities: []*types.JWTKey{jwt}})
	add("nothing", &bundlev1.AppendBundleRequest{})
	add("bad certificate", &bundlev1.AppendBundleRequest{X509Authorities: []*types.X509Certificate{{Asn1: []byte("nonsense")}}})
	add("bad key", &bundlev1.AppendBundleRequest{JwtAuthorities: []*types.JWTKey{{KeyId: "x", PublicKey: []byte("nonsense")}}})
	add("no key id", &bundlev1.AppendBundleRequest{JwtAuthorities: []*types.JWTKey{{PublicKey: jwt.PublicKey}}})

	// Downstream servers publish; administrators do not.
	publish(s, by, "as "+by.name)

	bundle := func(td string, sequence uint64) *types.Bundle {
		return &types.Bundle{TrustDomain: td, X509Authorities: []*types.X509Certificate{{Asn1: selfSigned("x.test")}}, RefreshHint: 30, SequenceNumber: sequence}
	}
	other := by.name + ".other.test"
	bad := []*types.Bundle{
		nil,
		bundle(s.td, 1),
		bundle("no such domain", 1),
		{TrustDomain: "b.test", X509Authorities: []*types.X509Certificate{{Asn1: []byte("nonsense")}}},
	}
	tell := func(b *types.Bundle) string {
		return fmt.Sprintf("%s x509=%d hint=%d sequence=%d", b.GetTrustDomain(), len(b.GetX509Authorities()), b.GetRefreshHint(), b.GetSequenceNumber())
	}
	s.call(by, "Bundle/BatchCreateFederatedBundle", "good, again, bad ones", ask(c.BatchCreateFederatedBundle,
		&bundlev1.BatchCreateFederatedBundleRequest{Bundle: append([]*types.Bundle{bundle(other, 7), bundle(other, 8)}, bad...)},
		func(r *bundlev1.BatchCreateFederatedBundleResponse) string {
			return statuses(r.Results) + "; " + tell(r.Results[0].Bundle)
		}))
	get := func(name, td string) {
		s.call(by, "Bundle/GetFederatedBundle", name, ask(c.GetFederatedBundle, &bundlev1.GetFederatedBundleRequest{TrustDomain: td}, tell))
	}
	get("good", other)
	get("unknown", "nobody.test")
	get("own", s.td)
	get("bad", "no such domain")
	get("none", "")
	s.call(by, "Bundle/BatchUpdateFederatedBundle", "good, unknown, bad ones", ask(c.BatchUpdateFederatedBundle,
		&bundlev1.BatchUpdateFederatedBundleRequest{Bundle: append([]*types.Bundle{bundle(other, 9), bundle("nobody.test", 9)}, bad...), InputMask: &types.BundleMask{SequenceNumber: true}},
		func(r *bundlev1.BatchUpdateFederatedBundleResponse) string {
			return statuses(r.Results) + "; " + tell(r.Results[0].Bundle)
		}))
	s.call(by, "Bundle/BatchSetFederatedBundle", "new, old, bad ones", ask(c.BatchSetFederatedBundle,
		&bundlev1.BatchSetFederatedBundleRequest{Bundle: append([]*types.Bundle{bundle("set."+other, 1), bundle(other, 10)}, bad...)},
		func(r *bundlev1.BatchSetFederatedBundleResponse) string {
			return statuses(r.Results) + "; " + tell(r.Results[1].Bundle)
		}))
	list := func(name string, request *bundlev1.ListFederatedBundlesRequest) {
		s.call(by, "Bundle/ListFederatedBundles", name, ask(c.ListFederatedBundles, request, func(r *bundlev1.ListFederatedBundlesResponse) string {
			var domains []string
			for _, b := range r.Bundles {
				domains = append(domains, b.TrustDomain)
			}
			return strings.Join(domains, " ")
		}))
	}
	list("all", &bundlev1.ListFederatedBundlesRequest{})
	list("a page", &bundlev1.ListFederatedBundlesRequest{PageSize: 1})
	list("bad token", &bundlev1.ListFederatedBundlesRequest{PageSize: 1, PageToken: "x"})
	s.call(by, "Bundle/CountBundles", "all", ask(c.CountBundles, &bundlev1.CountBundlesRequest{}, func(r *bundlev1.CountBundlesResponse) string { return fmt.Sprint(r.Count) }))
	s.call(by, "Bundle/BatchDeleteFederatedBundle", "good, again, own, bad", ask(c.BatchDeleteFederatedBundle,
		&bundlev1.BatchDeleteFederatedBundleRequest{TrustDomains: []string{other, "set." + other, other, s.td, "no such domain"}},
		func(r *bundlev1.BatchDeleteFederatedBundleResponse) string { return statuses(r.Results) }))
}

func publish(s *site, by caller, name string) {
	c := bundlev1.NewBundleClient(by.conn)
	put := func(name string, key *types.JWTKey) {
		s.call(by, "Bundle/PublishJWTAuthority", name, ask(c.PublishJWTAuthority, &bundlev1.PublishJWTAuthorityRequest{JwtAuthority: key},
			func(r *bundlev1.PublishJWTAuthorityResponse) string {
				for _, found := range r.JwtAuthorities {
					if found.KeyId == key.KeyId {
						return "there"
					}
				}
				return "not there"
			}))
	}
	put(name+": good", &types.JWTKey{PublicKey: pkixOf(newKey()), KeyId: by.name + "-published", ExpiresAt: time.Now().Add(time.Hour).Unix()})
	put(name+": none", nil)
	put(name+": bad", &types.JWTKey{PublicKey: []byte("nonsense"), KeyId: "x"})
	s.call(by, "Bundle/PublishWITAuthority", name, ask(c.PublishWITAuthority, &bundlev1.PublishWITAuthorityRequest{}, nothing))
}
