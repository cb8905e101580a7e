import { describeGradients } from '#test/support/describe-gradients.ts';
import { otherNormCases } from './cases/other-norms.ts';

describeGradients('further normalisations', otherNormCases);
