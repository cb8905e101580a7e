import { describeGradients } from '#test/support/describe-gradients.ts';
import { einsumCases } from './cases/einsum.ts';

describeGradients('einsum', einsumCases);
