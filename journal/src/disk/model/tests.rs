//! Tests of the model disk itself.
//!
//! A model that cannot lose anything would let every journal pass.
//!
//! **Invariant:** each outcome that the journal must survive does occur.

use super::*;

#[test]
fn only_what_was_synced_is_sure_to_survive() {
    let (mut lost, mut torn, mut kept) = (0, 0, 0);
    for seed in 0..200 {
        let disk = ModelDisk::new();
        let dir = Path::new("/d");
        let file = disk.open(&dir.join("f"), Access::CreateNew).unwrap();
        file.write_at(0, &[1; 600]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(dir).unwrap();
        file.write_at(600, &[2; 2000]).unwrap();
        disk.crash(seed);
        assert!(file.bytes().is_err(), "an old handle must not work");
        let content = disk.open(&dir.join("f"), Access::Read).unwrap();
        let mut buf = vec![0; 4096];
        let n = content.read_at(0, &mut buf).unwrap();
        assert_eq!(&buf[..600], &[1; 600]);
        match buf[..n].iter().filter(|b| **b == 2).count() {
            0 => lost += 1,
            2000 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(lost > 0 && torn > 0 && kept > 0, "{lost} {torn} {kept}");
}

#[test]
fn a_failed_sync_loses_what_was_pending_for_good() {
    let disk = ModelDisk::new();
    let file = disk.open(Path::new("/d/f"), Access::CreateNew).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_at(0, b"abc").unwrap();
    disk.fault_at(disk.operations() + 1, Fault::Eio);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    disk.crash(1);
    assert_eq!(disk.open(Path::new("/d/f"), Access::Read).unwrap().bytes().unwrap(), 0);
}
