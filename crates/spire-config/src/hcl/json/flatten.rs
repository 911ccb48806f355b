//! JSON has no labels and no repeated blocks; upstream makes them out of objects that hold nothing but objects, and out
//! of lists of objects (SC-025).

use crate::hcl::{Item, Object, Value};

/// From the outside to the inside: what a list of objects makes of an object does not count for the one around it.
pub(super) fn flatten(object: Object) -> Object {
    let mut items = Vec::new();
    for item in object.items {
        spread(item, &mut items);
    }
    for item in &mut items {
        flatten_value(&mut item.value);
    }
    Object { items }
}

/// One item for each way through the objects that hold only objects.
fn spread(item: Item, items: &mut Vec<Item>) {
    let Item { keys, value } = item;
    match value {
        Value::Object(inner, _)
            if !inner.items.is_empty() && inner.items.iter().all(|item| is_object(&item.value)) =>
        {
            for item in inner.items {
                let keys = keys.iter().cloned().chain(item.keys).collect();
                spread(Item { keys, value: item.value }, items);
            }
        }
        Value::List(list, _) if !list.is_empty() && list.iter().all(is_object) => {
            for value in list {
                spread(Item { keys: keys.clone(), value }, items);
            }
        }
        value => items.push(Item { keys, value }),
    }
}

fn flatten_value(value: &mut Value) {
    match value {
        Value::Object(object, _) => *object = flatten(std::mem::take(object)),
        Value::List(list, _) => list.iter_mut().for_each(flatten_value),
        _ => {}
    }
}

fn is_object(value: &Value) -> bool {
    matches!(value, Value::Object(..))
}
