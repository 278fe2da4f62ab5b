//! Whatever the model can say survives the wire, and equal values are equal bytes.

use proptest::prelude::*;
use prost::Message;

use super::generators::{policy, route, security, service, workload};
use super::{DecodeError, address, authorization, service_config, waypoint_config};
use crate::AddressResource;

fn over_the_wire<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn workloads_survive_the_wire(workload in workload()) {
        let wire = over_the_wire(&address::encode_workload(&workload));
        prop_assert_eq!(address::decode(wire), Ok(AddressResource::Workload(workload)));
    }

    #[test]
    fn services_survive_the_wire(service in service()) {
        let wire = over_the_wire(&address::encode_service(&service));
        prop_assert_eq!(address::decode(wire), Ok(AddressResource::Service(service)));
    }

    #[test]
    fn policies_survive_the_wire(policy in policy()) {
        let wire = over_the_wire(&authorization::encode(&policy));
        prop_assert_eq!(authorization::decode(wire), Ok(policy));
    }

    #[test]
    fn service_configs_survive_the_wire(config in route::service_config()) {
        let wire = over_the_wire(&service_config::encode(&config));
        prop_assert_eq!(service_config::decode(wire), Ok(config));
    }

    #[test]
    fn waypoint_configs_survive_the_wire(config in security::waypoint_config()) {
        let wire = over_the_wire(&waypoint_config::encode(&config));
        prop_assert_eq!(waypoint_config::decode(wire), Ok(config));
    }

    /// A message damaged on the way is taken or rejected in words, never a panic.
    #[test]
    fn sec_09_damage_is_rejected_in_words(
        (workload, service) in (workload(), service()),
        (policy, config) in (policy(), route::service_config()),
        waypoint in security::waypoint_config(),
        (place, byte) in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let address = address::encode_workload(&workload).encode_to_vec();
        judge(address, place, byte, address::decode)?;
        let address = address::encode_service(&service).encode_to_vec();
        judge(address, place, byte, address::decode)?;
        judge(authorization::encode(&policy).encode_to_vec(), place, byte, authorization::decode)?;
        judge(service_config::encode(&config).encode_to_vec(), place, byte, service_config::decode)?;
        judge(waypoint_config::encode(&waypoint).encode_to_vec(), place, byte, waypoint_config::decode)?;
    }
}

fn judge<M: Message + Default, T>(
    mut bytes: Vec<u8>,
    place: prop::sample::Index,
    byte: u8,
    decode: impl Fn(M) -> Result<T, DecodeError>,
) -> Result<(), TestCaseError> {
    let place = place.index(bytes.len());
    bytes[place] = byte;
    if let Ok(Err(error)) = M::decode(bytes.as_slice()).map(decode) {
        prop_assert!(!error.reason.is_empty());
    }
    Ok(())
}
