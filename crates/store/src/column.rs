//! How the model's types are stored and read.

use std::fmt::{self, Display};
use std::str::FromStr;

use howdah_model::version::Major;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Row, Type};
use uuid::Uuid;

/// A value of the model that is stored as text: by the name that it prints and parses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<T>(pub T);

impl<T> Type<Postgres> for Named<T> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(ty)
    }
}

impl<T: Display> Encode<'_, Postgres> for Named<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <String as Encode<Postgres>>::encode(self.0.to_string(), buffer)
    }
}

impl<T> Decode<'_, Postgres> for Named<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(<&str as Decode<Postgres>>::decode(value)?.parse()?))
    }
}

/// Bytes that were encrypted before they came here. `Debug` says only how many.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl From<Vec<u8>> for Sealed {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Reads the model's types from a row, by the column's name.
pub(crate) trait Columns {
    /// An id.
    fn id<T: From<Uuid>>(&self, column: &str) -> sqlx::Result<T>;
    /// An id that may be null.
    fn id_or_null<T: From<Uuid>>(&self, column: &str) -> sqlx::Result<Option<T>>;
    /// A value that is stored by its name.
    fn named<T>(&self, column: &str) -> sqlx::Result<T>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static;
    /// A time.
    fn time(&self, column: &str) -> sqlx::Result<Timestamp>;
    /// A time that may be null.
    fn time_or_null(&self, column: &str) -> sqlx::Result<Option<Timestamp>>;
    /// A major version.
    fn major(&self, column: &str) -> sqlx::Result<Major>;
    /// Encrypted bytes.
    fn sealed(&self, column: &str) -> sqlx::Result<Sealed>;
}

impl Columns for PgRow {
    fn id<T: From<Uuid>>(&self, column: &str) -> sqlx::Result<T> {
        Ok(self.try_get::<Uuid, _>(column)?.into())
    }

    fn id_or_null<T: From<Uuid>>(&self, column: &str) -> sqlx::Result<Option<T>> {
        Ok(self.try_get::<Option<Uuid>, _>(column)?.map(T::from))
    }

    fn named<T>(&self, column: &str) -> sqlx::Result<T>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        Ok(self.try_get::<Named<T>, _>(column)?.0)
    }

    fn time(&self, column: &str) -> sqlx::Result<Timestamp> {
        Ok(self.try_get::<jiff_sqlx::Timestamp, _>(column)?.to_jiff())
    }

    fn time_or_null(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(|time| time.to_jiff()))
    }

    fn major(&self, column: &str) -> sqlx::Result<Major> {
        Ok(Major(self.try_get::<i16, _>(column)?.unsigned_abs()))
    }

    fn sealed(&self, column: &str) -> sqlx::Result<Sealed> {
        Ok(Sealed(self.try_get(column)?))
    }
}

/// Brings a time into the form that is bound to a statement.
pub(crate) fn at(time: Timestamp) -> jiff_sqlx::Timestamp {
    time.to_sqlx()
}
